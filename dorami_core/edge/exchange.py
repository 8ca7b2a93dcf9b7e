"""A request on its way through the routes, and what it can become."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from dorami_core.edge.http1 import Headers, HttpConnection, Request
from dorami_core.edge.services import EdgeServices


@attrs.frozen
class Answer:
    """A whole response."""

    status: int
    headers: Headers
    body: bytes = b""
    after: Callable[[bool], None] | None = None
    """Told, when nothing more happens to this answer, whether all of it was sent."""


@attrs.frozen
class Exchange:
    request: Request
    connection: HttpConnection
    services: EdgeServices
    cors: Headers
    origin_allowed: bool
