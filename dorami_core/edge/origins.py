"""Which pages may talk to us."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from dorami_core.edge.http1 import Headers

_DEFAULT_PORTS = {"http": 80, "https": 443}


def split_host(host: str) -> tuple[str, int | None] | None:
    """Name (lower case, brackets off) and port of a `Host` header; None where it is none."""
    if not host or any(char in host for char in "/?#@ \\"):
        return None
    try:
        parts = urlsplit("//" + host)
        return (parts.hostname, parts.port) if parts.hostname else None
    except ValueError:
        return None


def is_allowed_origin(origin: str, host: str, allowed: Collection[str], web_port: int) -> bool:
    """In `CORS_ORIGINS`; the web listener under the name that the request names; or the very host and port of the
    request, as behind one reverse proxy."""
    if origin.lower().rstrip("/") in allowed:
        return True
    ours = split_host(host)
    try:
        parts = urlsplit(origin)
        default = _DEFAULT_PORTS[parts.scheme]
        name, port = parts.hostname, parts.port or default
    except (KeyError, ValueError):
        return False
    if ours is None or name != ours[0] or parts.username is not None:
        return False
    return port in (web_port, ours[1] or default)


def cors_headers(origin: str | None, is_allowed: bool) -> Headers:
    """Never a wildcard: credentials are allowed. `Vary` even where nothing is granted, for caches."""
    if origin is None or not is_allowed:
        return [("Vary", "Origin")]
    return [
        ("Vary", "Origin"),
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
    ]


def preflight(methods: str) -> Headers:
    """What a page may send, with these methods."""
    return [
        ("Access-Control-Allow-Methods", methods),
        ("Access-Control-Allow-Headers", "Authorization, Content-Type, Range"),
        ("Access-Control-Max-Age", "600"),
    ]
