"""A site on a real listener: Hypercorn on loopback, a real database, httpx as the client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import attrs
import httpx
import trio

from dorami_core.base.errors import DoramiError
from dorami_core.base.principal import Access
from dorami_core.hooks.http import Page, Paged, Redirect, Request
from dorami_core.identity.sessions import SessionStore
from dorami_core.identity.tokens import Authenticator
from dorami_core.identity.users import Users
from dorami_core.web.router import WebRouter

SECRET = "a secret of the tests that is long enough"
EDGE_PORT = 18080


@attrs.frozen
class Part:
    label: str
    count: int = 1


@attrs.frozen
class Thing:
    title: str
    unit_count: int
    parts: list[Part] = attrs.field(factory=list)
    is_new: bool = False


@attrs.frozen
class Search:
    limit: int = attrs.field(default=20, validator=attrs.validators.in_(range(1, 101)))
    cursor: str | None = None
    only_new: bool = False
    min_price: int | None = None


@attrs.frozen
class ThingForm:
    title: str
    unit_count: int


class Things:
    """Handlers that show what the router made of a request."""

    def __init__(self) -> None:
        self.calls = 0
        self.entered = trio.Event()
        self.go_on = trio.Event()
        self.finished = trio.Event()

    async def make(self, request: Request, body: Thing) -> dict[str, Any]:
        self.calls += 1
        return {"body": body, "user": request.principal.viewer_id, "call": self.calls}

    async def search(self, request: Request, query: Search) -> Paged:
        return Paged([query], "next")

    async def one(self, request: Request) -> dict[str, Any]:
        return {"id": request.uuid("id", "THING_NOT_FOUND"), "peer": request.peer, "baseUrl": request.base_url}

    async def fail(self, request: Request) -> None:
        raise RuntimeError("a secret detail")

    async def refuse(self, request: Request) -> None:
        self.calls += 1
        raise DoramiError(request.path_params["code"], retry_after_ms=1500 if "retry" in request.args else None, left=3)

    async def slow(self, request: Request) -> dict[str, Any]:
        self.calls += 1
        self.entered.set()
        await self.go_on.wait()
        self.finished.set()
        return {"call": self.calls}

    async def show(self, request: Request) -> Page:
        return Page("sample_shop/show.html", {"title": request.args.get("title", "상품")})

    async def save(self, request: Request, form: ThingForm) -> Redirect:
        return Redirect(f"/things?title={form.title}&n={form.unit_count}")

    async def leave(self, request: Request) -> Redirect:
        return Redirect(request.args["to"])

    async def refuse_page(self, request: Request) -> Page:
        raise DoramiError("CONFLICT")

    def register(self, router: WebRouter) -> None:
        router.api("POST", "/api/things", self.make, body=Thing, status=201, response=Thing)
        router.api("GET", "/api/things", self.search, access=Access.PUBLIC, query=Search, response=Paged)
        router.api("GET", "/api/things/{id}", self.one, access=Access.PUBLIC)
        router.api("POST", "/api/things/{id}/touch", self.one)
        router.api("GET", "/api/fail", self.fail, access=Access.PUBLIC)
        router.api("POST", "/api/refuse/{code}", self.refuse)
        router.api("POST", "/api/slow", self.slow)
        router.api("GET", "/api/staff", self.one_staff, access=Access.ADMIN)
        router.api("POST", "/api/open", self.open_to_all, access=Access.PUBLIC)
        router.page("GET", "/things", self.show)
        router.page("POST", "/things", self.save, form=ThingForm)
        router.page("GET", "/mine", self.show, access=Access.USER)
        router.page("GET", "/leave", self.leave)
        router.page("GET", "/refuse", self.refuse_page)
        router.page("GET", "/broken", self.fail)

    async def one_staff(self, request: Request) -> str:
        return request.user.role

    async def open_to_all(self, request: Request) -> str:
        return request.principal.viewer_id


@attrs.frozen
class Site:
    url: str
    things: Things
    authenticator: Authenticator
    users: Users
    sessions: SessionStore

    def client(self, **options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=60, **options)

    @asynccontextmanager
    async def signed_in(self, email: str = "mina@example.com", **facts: Any) -> AsyncIterator[httpx.AsyncClient]:
        """A browser-like client: cookies, and the CSRF header on every request."""
        async with self.client() as client:
            answer = await client.post("/api/auth/dev-login", json={"email": email, **facts})
            assert answer.status_code == 200, answer.text
            client.headers["X-CSRF-Token"] = client.cookies["csrf-token"]
            yield client

    async def bearer(self, email: str = "mina@example.com", **facts: Any) -> dict[str, str]:
        async with self.client() as client:
            answer = await client.post("/api/auth/dev-login", json={"email": email, **facts})
            return {"Authorization": f"Bearer {answer.json()['data']['accessToken']}"}


OpenSite = Callable[..., AbstractAsyncContextManager[Site]]
