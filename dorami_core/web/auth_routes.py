"""Routes of sign-in and of one's own profile."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import attrs

from dorami_core.base.errors import DoramiError
from dorami_core.base.peers import has_forwarded, is_loopback
from dorami_core.base.principal import Access, Role
from dorami_core.base.structure import to_json
from dorami_core.hooks.host import UserView
from dorami_core.hooks.http import Request
from dorami_core.identity.sessions import REFRESH_LIFETIME, RefreshToken, SessionStore
from dorami_core.identity.tokens import ACCESS_LIFETIME, AccessToken, Authenticator
from dorami_core.identity.users import Profile, Users, identity_of
from dorami_core.web.exchange import ACCESS_COOKIE, REFRESH_COOKIE
from dorami_core.web.replies import Cookie, Reply
from dorami_core.web.router import WebRouter

REFRESH_PATH = "/api/auth"


def _text(low: int, high: int) -> Any:
    """A validator: between `low` and `high` characters once blanks around are gone; None passes."""

    def check(_: Any, attribute: attrs.Attribute[Any], value: str | None) -> None:
        if value is not None and not low <= len(value.strip()) <= high:
            raise ValueError(f"must have {low} to {high} characters", attribute)

    return check


def _country(_: Any, attribute: attrs.Attribute[Any], value: str) -> None:
    if re.fullmatch(r"[A-Z]{2}", value) is None:
        raise ValueError("must be two capital letters (ISO 3166-1)", attribute)


@attrs.frozen
class DevLogin:
    email: str = attrs.field(validator=_text(3, 254))
    name: str | None = attrs.field(default=None, validator=_text(1, 60))
    instagram_id: str | None = attrs.field(default=None, validator=_text(1, 60))
    role: Literal["USER", "ADMIN"] | None = None


@attrs.frozen
class ProfileBody:
    """What is absent or null stays; an empty `instagramId` is taken away."""

    name: str | None = attrs.field(default=None, validator=_text(1, 60))
    instagram_id: str | None = attrs.field(default=None, validator=_text(0, 60))


@attrs.frozen
class ShippingAddress:
    """`country` is ISO 3166-1 alpha-2."""

    recipient: str = attrs.field(validator=_text(1, 100))
    line1: str = attrs.field(validator=_text(1, 200))
    city: str = attrs.field(validator=_text(1, 100))
    postal_code: str = attrs.field(validator=_text(1, 20))
    country: str = attrs.field(validator=_country)
    line2: str | None = attrs.field(default=None, validator=_text(0, 200))
    state: str | None = attrs.field(default=None, validator=_text(0, 100))
    phone: str | None = attrs.field(default=None, validator=_text(0, 40))


@attrs.frozen
class SignedIn:
    user: UserView
    access_token: str
    expires_at: datetime


class IdentityRoutes:
    """`dev_login` is for APP_ENV development and test alone: it asks nobody for a password."""

    def __init__(self, users: Users, sessions: SessionStore, authenticator: Authenticator, *, dev_login: bool) -> None:
        self._users = users
        self._sessions = sessions
        self._authenticator = authenticator
        self._dev_login = dev_login

    def register(self, router: WebRouter) -> None:
        sign_in: dict[str, Any] = {"access": Access.PUBLIC, "lenient": True, "idempotent": False}
        if self._dev_login:
            router.api(
                "POST",
                "/api/auth/dev-login",
                self.dev_login,
                body=DevLogin,
                response=SignedIn,
                csrf=False,
                guard=_only_from_here,
                summary="Sign in without a password, from this machine alone",
                **sign_in,
            )
        router.api("POST", "/api/auth/refresh", self.refresh, response=SignedIn, summary="New tokens", **sign_in)
        router.api("POST", "/api/auth/logout", self.logout, summary="End this session", **sign_in)
        router.api("GET", "/api/auth/me", self.me, response=UserView, summary="Who is signed in")
        router.api("GET", "/api/users/me", self.me, response=UserView, summary="One's own profile")
        router.api(
            "PATCH", "/api/users/me", self.change_me, body=ProfileBody, response=UserView, summary="Change the profile"
        )
        router.api(
            "PUT",
            "/api/users/me/shipping-address",
            self.set_address,
            body=ShippingAddress,
            response=UserView,
            summary="Set one's shipping address; it is kept encrypted",
        )

    async def dev_login(self, request: Request, body: DevLogin) -> Reply:
        role: Role | None = body.role
        user = await self._users.sign_in(
            body.email,
            name=body.name.strip() if body.name else None,
            instagram_id=body.instagram_id.strip() if body.instagram_id else None,
            role=role,
        )
        return self._signed_in(user, await self._sessions.open(user.id))

    async def refresh(self, request: Request) -> Reply:
        """Takes the refresh cookie alone. UNAUTHORIZED where it is missing, over, or was used before."""
        token = request.cookies.get(REFRESH_COOKIE)
        if not token:
            raise DoramiError("UNAUTHORIZED")
        fresh = await self._sessions.rotate(token)
        user = await self._users.find(fresh.user_id)
        if user is None:
            raise DoramiError("UNAUTHORIZED")
        return self._signed_in(user, fresh)

    async def logout(self, request: Request) -> Reply:
        """Ends the session that cookie or bearer name; without one there is nothing to end."""
        token = request.cookies.get(REFRESH_COOKIE)
        if token:
            await self._sessions.end(token)
        access = _access_token(request)
        if access:
            try:
                _, session_id = self._authenticator.read(access)
            except DoramiError:
                session_id = None
            if session_id is not None:
                await self._sessions.end_session(session_id)
        gone = (Cookie(ACCESS_COOKIE, "", 0), Cookie(REFRESH_COOKIE, "", 0, REFRESH_PATH))
        return Reply(None, gone)

    async def me(self, request: Request) -> UserView:
        return await self._users.get(request.user.id)

    async def change_me(self, request: Request, body: ProfileBody) -> Reply:
        """The name that others see is in the access token: a client with cookies gets a new one along."""
        user = await self._users.change_profile(
            request.user.id,
            Profile(
                body.name.strip() if body.name else None,
                body.instagram_id.strip() if body.instagram_id is not None else None,
            ),
        )
        cookies: Sequence[Cookie] = ()
        present = request.cookies.get(ACCESS_COOKIE)
        if present and "authorization" not in request.headers:
            _, session_id = self._authenticator.read(present)
            cookies = (_access_cookie(self._authenticator.issue(identity_of(user), session_id)),)
        return Reply(user, cookies)

    async def set_address(self, request: Request, body: ShippingAddress) -> UserView:
        return await self._users.set_shipping_address(request.user.id, to_json(body))

    def _signed_in(self, user: UserView, refresh: RefreshToken) -> Reply:
        access = self._authenticator.issue(identity_of(user), refresh.session_id)
        seven_days = int(REFRESH_LIFETIME.total_seconds())
        cookies = (_access_cookie(access), Cookie(REFRESH_COOKIE, refresh.token, seven_days, REFRESH_PATH))
        return Reply(SignedIn(user, access.token, access.expires_at), cookies, refresh.session_id)


def _access_cookie(access: AccessToken) -> Cookie:
    return Cookie(ACCESS_COOKIE, access.token, int(ACCESS_LIFETIME.total_seconds()))


def _access_token(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else request.cookies.get(ACCESS_COOKIE)


def _only_from_here(request: Request) -> None:
    """NOT_FOUND for everybody but a peer on this machine without a proxy between us."""
    if has_forwarded(request.headers) or not is_loopback(request.peer):
        raise DoramiError("NOT_FOUND")
