"""Access tokens (JWT, HS256) and signed guest ids; both are checked without a database."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID

import attrs
import jwt

from dorami_core.base.clock import Clock
from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import GuestId, UserId
from dorami_core.base.principal import Principal, UserIdentity

ACCESS_LIFETIME = timedelta(minutes=15)
_MAX_TOKEN_CHARS = 4096
_GUEST_ID_BYTES = 12


def derive_key(secret: str, purpose: str) -> bytes:
    """A key of its own for each purpose, 32 bytes, so that no signature counts for two things."""
    return hmac.new(secret.encode(), b"dorami:" + purpose.encode(), hashlib.sha256).digest()


@attrs.frozen
class AccessToken:
    token: str
    expires_at: datetime


@attrs.frozen
class Identified:
    """Who sent a request."""

    principal: Principal
    session_id: UUID | None
    """Of the access token."""
    new_guest_token: str | None
    """Made because the speaker is a guest who brought no valid one; give it to him."""


class Authenticator:
    """Issues and reads access tokens and guest tokens. `secret` is JWT_SECRET."""

    def __init__(self, secret: str, clock: Clock) -> None:
        self._secret = secret
        self._guest_key = derive_key(secret, "guest")
        self._clock = clock

    def issue(self, user: UserIdentity, session_id: UUID) -> AccessToken:
        """An access token for 15 minutes."""
        now = self._clock.now().replace(microsecond=0)
        expires_at = now + ACCESS_LIFETIME
        claims = {
            "sub": str(user.id),
            "role": user.role,
            "name": user.display_name,
            "sid": str(session_id),
            "iat": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
        }
        return AccessToken(jwt.encode(claims, self._secret, algorithm="HS256"), expires_at)

    def authenticate(self, token: str | None, guest_token: str | None) -> tuple[Principal, str | None]:
        """The speaker, and a freshly made guest token where he is a guest without a valid one.

        An access token that is not valid any more, or never was, raises UNAUTHORIZED.
        """
        identified = self.identify(token, guest_token)
        return identified.principal, identified.new_guest_token

    def identify(self, token: str | None, guest_token: str | None) -> Identified:
        """As `authenticate`, with the session."""
        guest_id = self.guest_id(guest_token) if guest_token else None
        if token:
            user, session_id = self.read(token)
            return Identified(Principal(user, guest_id), session_id, None)
        if guest_id is not None:
            return Identified(Principal(None, guest_id), None, None)
        guest_id, fresh = self.new_guest()
        return Identified(Principal(None, guest_id), None, fresh)

    def read(self, token: str) -> tuple[UserIdentity, UUID]:
        """The user and session of an access token; UNAUTHORIZED where it is not valid now."""
        if len(token) > _MAX_TOKEN_CHARS:
            raise DoramiError("UNAUTHORIZED")
        try:
            # The expiry is compared below, with the clock that was handed in.
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=["HS256"],
                options={"require": ["sub", "exp", "sid"], "verify_exp": False, "verify_iat": False},
            )
            expires_at = datetime.fromtimestamp(int(claims["exp"]), UTC)
            role = claims["role"]
            if role not in ("USER", "ADMIN"):
                raise ValueError("unknown role")
            user = UserIdentity(UserId(UUID(claims["sub"])), role, str(claims["name"]))
            session_id = UUID(claims["sid"])
        except (jwt.InvalidTokenError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raise DoramiError("UNAUTHORIZED") from None
        if expires_at <= self._clock.now():
            raise DoramiError("UNAUTHORIZED", reason="expired")
        return user, session_id

    def new_guest(self) -> tuple[GuestId, str]:
        """A new guest id and its token, `<id>.<signature>`."""
        guest_id = GuestId(secrets.token_urlsafe(_GUEST_ID_BYTES))
        return guest_id, f"{guest_id}.{self._guest_signature(guest_id)}"

    def guest_id(self, token: str) -> GuestId | None:
        """The id of a guest token that we signed, else None."""
        guest_id, dot, signature = token.partition(".")
        if not dot or len(token) > 128 or not token.isascii():
            return None
        return GuestId(guest_id) if hmac.compare_digest(signature, self._guest_signature(guest_id)) else None

    def _guest_signature(self, guest_id: str) -> str:
        digest = hmac.digest(self._guest_key, guest_id.encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
