"""Who is speaking: a signed-in user or a guest with a signed id."""

from __future__ import annotations

from enum import Enum
from typing import Literal

import attrs

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import GuestId, UserId, ViewerId

Role = Literal["USER", "ADMIN"]
ANONYMOUS_NAME = "익명"


class Access(Enum):
    """Who may call a route or send an event."""

    PUBLIC = "public"
    USER = "user"
    ADMIN = "admin"


@attrs.frozen
class UserIdentity:
    """What a token says of a user; enough for every check that needs no row."""

    id: UserId
    role: Role
    display_name: str
    """`instagramId`, else 익명."""


@attrs.frozen
class Principal:
    """One person. `user` is None for a guest, whose `guest_id` was signed by us."""

    user: UserIdentity | None = None
    guest_id: GuestId | None = None

    @property
    def viewer_id(self) -> ViewerId:
        return ViewerId(f"u:{self.user.id}" if self.user else f"g:{self.guest_id}")

    @property
    def is_admin(self) -> bool:
        return self.user is not None and self.user.role == "ADMIN"

    def require(self, access: Access) -> None:
        """Raises UNAUTHORIZED for a guest, FORBIDDEN for a user who is not staff."""
        if access is Access.PUBLIC:
            return
        if self.user is None:
            raise DoramiError("UNAUTHORIZED")
        if access is Access.ADMIN and not self.is_admin:
            raise DoramiError("FORBIDDEN")
