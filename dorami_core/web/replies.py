"""What a handler of the core may return besides plain data: cookies, and bodies without the envelope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import attrs


@attrs.frozen
class Cookie:
    """SameSite=Lax always, Secure under https. `max_age_s` 0 removes it, None ends with the browser."""

    name: str
    value: str
    max_age_s: int | None
    path: str = "/"
    http_only: bool = True


@attrs.frozen
class Reply:
    """Data with cookies. Where `session_id` is given, a CSRF token for that session is set along."""

    data: Any
    cookies: Sequence[Cookie] = ()
    session_id: UUID | None = None
    status: int | None = None


@attrs.frozen
class Plain:
    """A body as it is, without the envelope."""

    body: bytes
    content_type: str
    status: int = 200
