"""One request as the handlers see it: who speaks, in which language, from where."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import attrs

from dorami_core.base import languages
from dorami_core.base.errors import DoramiError, Lang
from dorami_core.base.peers import Client, Proxies, has_forwarded
from dorami_core.hooks.http import Request
from dorami_core.identity.sessions import session_hint
from dorami_core.identity.tokens import Identified
from dorami_core.web import csrf
from dorami_core.web.dependencies import WebDependencies

ACCESS_COOKIE = "access_token"
REFRESH_COOKIE = "refresh_token"
GUEST_COOKIE = "guest"


@attrs.frozen
class Incoming:
    """What is known of a request before anybody looks at who sent it."""

    method: str
    path: str
    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    args: Mapping[str, str]
    host: str
    """The Host header, port included."""
    peer: str
    """The other end of the socket."""
    client: Client
    """The same after trusted proxies."""
    lang: Lang
    nonce: str
    """For the Content-Security-Policy of this answer."""

    @property
    def base_url(self) -> str:
        return f"{self.client.scheme}://{self.host}"

    @property
    def is_secure(self) -> bool:
        return self.client.scheme == "https"

    @property
    def is_direct(self) -> bool:
        """No proxy says that it passed this on."""
        return not has_forwarded(self.headers)

    @property
    def is_api(self) -> bool:
        return self.path == "/api" or self.path.startswith("/api/")

    @property
    def bearer(self) -> str | None:
        """The token of `Authorization: Bearer` (RFC 6750, 2.1)."""
        scheme, _, token = self.headers.get("authorization", "").strip().partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None


def read_incoming(request: Any, proxies: Proxies) -> Incoming:
    """Reads Quart's request. The peer is the socket's, since a `Remote-Addr` header could be anybody's."""
    # Values of repeated headers are joined, as RFC 9110, 5.3 has it.
    headers: dict[str, str] = {}
    for raw_name, raw_value in request.scope["headers"]:
        name, value = raw_name.decode("latin1").lower(), raw_value.decode("latin1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    peer = str((request.scope.get("client") or ("",))[0])
    args = {name: values[-1] for name, values in request.args.to_dict(flat=False).items()}
    cookies = dict(request.cookies)
    return Incoming(
        method=request.method,
        path=request.path,
        headers=headers,
        cookies=cookies,
        args=args,
        host=headers.get("host", ""),
        peer=peer,
        client=proxies.client(peer, request.scope["scheme"], headers),
        lang=languages.choose(args, cookies, headers.get("accept-language", "")),
        nonce=secrets.token_urlsafe(16),
    )


def identify(incoming: Incoming, deps: WebDependencies, *, bearer_must_hold: bool) -> Identified:
    """Who sent this. A bearer speaks alone and must be valid (UNAUTHORIZED); a cookie that has expired is a guest's."""
    guest_token = incoming.cookies.get(GUEST_COOKIE)
    token = incoming.bearer
    if token is not None and bearer_must_hold:
        return deps.authenticator.identify(token or "-", guest_token)
    try:
        return deps.authenticator.identify(token or incoming.cookies.get(ACCESS_COOKIE), guest_token)
    except DoramiError:
        return deps.authenticator.identify(None, guest_token)


def check_csrf(incoming: Incoming, identified: Identified, submitted: str, deps: WebDependencies) -> None:
    """Raises CSRF_INVALID. A bearer needs no token: no other site can make a browser send it."""
    if not deps.csrf_enabled or incoming.method in csrf.SAFE_METHODS or incoming.bearer is not None:
        return
    if not csrf.is_origin_allowed(incoming.headers, incoming.base_url, deps.cors_origins):
        raise DoramiError("CSRF_INVALID")
    bindings = [csrf.binding_of(identified)]
    # Only /api/auth gets this cookie: there the token of a session counts although its access token is over.
    session_id = session_hint(incoming.cookies.get(REFRESH_COOKIE, ""))
    if session_id is not None:
        bindings.append(f"s:{session_id}")
    cookie = incoming.cookies.get(csrf.COOKIE, "")
    if not any(deps.csrf.is_submitted(cookie, submitted, binding) for binding in bindings):
        raise DoramiError("CSRF_INVALID")


def csrf_token_for(incoming: Incoming, identified: Identified, deps: WebDependencies) -> tuple[str, bool]:
    """The client's own token where it still holds, else a new one; and whether it is new."""
    binding = csrf.binding_of(identified)
    present = incoming.cookies.get(csrf.COOKIE, "")
    if present and deps.csrf.is_valid(present, binding):
        return present, False
    return deps.csrf.issue(binding), True


def to_request(incoming: Incoming, identified: Identified, path_params: Mapping[str, str], csrf_token: str) -> Request:
    """What a handler gets. A path parameter that no row could have is NOT_FOUND."""
    for value in path_params.values():
        if any(char < " " or "\ud7ff" < char < "\ue000" or char == "\ufffd" for char in value):
            raise DoramiError("NOT_FOUND")
    return Request(
        method=incoming.method,
        path=incoming.path,
        principal=identified.principal,
        path_params=path_params,
        args=incoming.args,
        headers=incoming.headers,
        cookies=incoming.cookies,
        lang=incoming.lang,
        base_url=incoming.base_url,
        peer=incoming.client.peer,
        csrf_token=csrf_token,
    )
