"""Cross-site request forgery: a double-submitted token, bound to the session, and the Origin header."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Collection, Mapping

from dorami_core.identity.tokens import Identified

COOKIE = "csrf-token"
HEADER = "x-csrf-token"
FIELD = "csrfToken"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def binding_of(identified: Identified) -> str:
    """What a token is bound to: the session of a user, or the id of a guest."""
    if identified.session_id is not None:
        return f"s:{identified.session_id}"
    return f"g:{identified.principal.guest_id}"


class CsrfTokens:
    """Makes and checks tokens `<nonce>.<HMAC of binding and nonce>`. `key` is secret, 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, binding: str) -> str:
        nonce = secrets.token_urlsafe(16)
        return f"{nonce}.{self._mac(binding, nonce)}"

    def is_valid(self, token: str, binding: str) -> bool:
        nonce, _, mac = token.partition(".")
        if not token.isascii() or not 16 <= len(nonce) <= 64:
            return False
        return hmac.compare_digest(mac, self._mac(binding, nonce))

    def is_submitted(self, cookie: str, submitted: str, binding: str) -> bool:
        """Whether header or field repeats the cookie, and the cookie is ours and of this session."""
        if not (cookie.isascii() and submitted.isascii()):
            return False
        return hmac.compare_digest(cookie, submitted) and self.is_valid(cookie, binding)

    def _mac(self, binding: str, nonce: str) -> str:
        digest = hmac.new(self._key, f"{binding}\n{nonce}".encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def is_origin_allowed(headers: Mapping[str, str], own_origin: str, cors_origins: Collection[str]) -> bool:
    """Whether a request that changes something came from our own pages or from a listed origin.

    A request with neither Origin nor Sec-Fetch-Site is no browser's and passes; the token still decides.
    """
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") != "cross-site"
    return origin.lower() == own_origin.lower() or origin in cors_origins
