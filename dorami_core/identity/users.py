"""Users: their rows, found by id, made or found by e-mail address."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from typing import Any

import attrs
import structlog

from dorami_core.base.errors import DoramiError, invalid
from dorami_core.base.ids import UserId, new_uuid
from dorami_core.base.principal import ANONYMOUS_NAME, Role, UserIdentity
from dorami_core.hooks.host import UserView
from dorami_core.hooks.transactions import Database, Queries, Row
from dorami_core.identity.addresses import AddressCipher, AddressUnreadable

log = structlog.get_logger()

ADDRESS_FIELD = "shipping_address"
_COLUMNS = "id, email, name, role, instagram_id, shipping_address, status"
_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@[^\s@\x00-\x1f\x7f]{1,190}")


def normal_email(text: str) -> str:
    """Lower-case, NFC, without blanks around it; VALIDATION_FAILED where it is no address."""
    email = unicodedata.normalize("NFC", text.strip()).lower()
    if _EMAIL.fullmatch(email) is None:
        raise invalid("email", "not an e-mail address")
    return email


def identity_of(user: UserView) -> UserIdentity:
    """What an access token will say of the user."""
    return UserIdentity(user.id, user.role, user.instagram_id or ANONYMOUS_NAME)


@attrs.frozen
class Profile:
    """What a user may change of himself; None leaves a field, "" clears `instagram_id`."""

    name: str | None = None
    instagram_id: str | None = None


class Users:
    """Implements `hooks.UserDirectory`. `admin_emails` (ADMIN_EMAILS) become ADMIN when they first sign in."""

    def __init__(self, db: Database, cipher: AddressCipher, admin_emails: Collection[str] = ()) -> None:
        self._db = db
        self._cipher = cipher
        self._admin_emails = frozenset(normal_email(email) for email in admin_emails)

    async def find(self, user_id: UserId, *, using: Queries | None = None) -> UserView | None:
        """The user's row, decrypted; an address that cannot be read is logged and shown as none."""
        row = await (using or self._db).fetchrow(f"SELECT {_COLUMNS} FROM core.users WHERE id = $1", user_id)
        return None if row is None else self._view(row)

    async def get(self, user_id: UserId) -> UserView:
        """As `find`, but raises USER_NOT_FOUND."""
        user = await self.find(user_id)
        if user is None:
            raise DoramiError("USER_NOT_FOUND")
        return user

    async def sign_in(
        self, email: str, *, name: str | None = None, instagram_id: str | None = None, role: Role | None = None
    ) -> UserView:
        """The user with this address, made if there is none; what is given replaces what is stored.

        One statement, so that two who sign in at once get one row. FORBIDDEN for a suspended user.
        """
        email = normal_email(email)
        default_role: Role = "ADMIN" if email in self._admin_emails else "USER"
        row = await self._db.fetchrow(
            f"""INSERT INTO core.users (id, email, name, role, instagram_id)
                VALUES ($1, $2, coalesce($3, $4), coalesce($5, $6), $7)
                ON CONFLICT (email) DO UPDATE SET
                    name = coalesce($3, users.name),
                    role = coalesce($5, CASE WHEN $6 = 'ADMIN' THEN 'ADMIN' ELSE users.role END),
                    instagram_id = coalesce($7, users.instagram_id)
                RETURNING {_COLUMNS}""",
            new_uuid(),
            email,
            name or None,
            email.partition("@")[0],
            role,
            default_role,
            instagram_id or None,
        )
        if row is not None and row["status"] != "ACTIVE":
            raise DoramiError("FORBIDDEN")
        return self._found(row)

    async def change_profile(self, user_id: UserId, profile: Profile) -> UserView:
        """Raises USER_NOT_FOUND."""
        row = await self._db.fetchrow(
            f"""UPDATE core.users SET name = coalesce($2, name),
                       instagram_id = CASE WHEN $3::text IS NULL THEN instagram_id ELSE nullif($3, '') END
                 WHERE id = $1 RETURNING {_COLUMNS}""",
            user_id,
            profile.name,
            profile.instagram_id,
        )
        return self._found(row)

    async def set_shipping_address(self, user_id: UserId, address: dict[str, Any]) -> UserView:
        """Stores it encrypted. Raises USER_NOT_FOUND."""
        row = await self._db.fetchrow(
            f"UPDATE core.users SET shipping_address = $2 WHERE id = $1 RETURNING {_COLUMNS}",
            user_id,
            self._cipher.encrypt(user_id, ADDRESS_FIELD, address),
        )
        return self._found(row)

    def _found(self, row: Row | None) -> UserView:
        if row is None:
            raise DoramiError("USER_NOT_FOUND")
        return self._view(row)

    def _view(self, row: Row) -> UserView:
        user_id = UserId(row["id"])
        address: dict[str, Any] | None = None
        if row["shipping_address"] is not None:
            try:
                address = self._cipher.decrypt(user_id, ADDRESS_FIELD, row["shipping_address"])
            except AddressUnreadable as error:
                log.error("identity.address_unreadable", user=str(user_id), reason=str(error))
        return UserView(user_id, row["email"], row["name"], row["role"], row["instagram_id"], address)
