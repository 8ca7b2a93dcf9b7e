"""Fixtures of the web app's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import prometheus_client
import pytest
import trio
from web_site import EDGE_PORT, SECRET, OpenSite, Site, Things

from dorami_core.base.clock import SystemClock
from dorami_core.base.errors import ErrorCatalogue, ErrorCode
from dorami_core.hooks.http import Templates
from dorami_core.identity.addresses import AddressCipher
from dorami_core.identity.sessions import SessionStore
from dorami_core.identity.tokens import Authenticator, derive_key
from dorami_core.identity.users import Users
from dorami_core.store.postgres import PostgresDatabase
from dorami_core.web.app import build_app
from dorami_core.web.auth_routes import IdentityRoutes
from dorami_core.web.csrf import CsrfTokens
from dorami_core.web.dependencies import HealthCheck, WebDependencies
from dorami_core.web.router import WebRouter
from dorami_core.web.serve import serve_web


@pytest.fixture
def templates() -> Sequence[Templates]:
    return ()


@pytest.fixture
def open_site(database: PostgresDatabase, templates: Sequence[Templates]) -> OpenSite:
    """Opens a site with fields of WebDependencies changed as the test wants."""

    @asynccontextmanager
    async def opened(**changes: Any) -> AsyncIterator[Site]:
        clock = SystemClock()
        authenticator = Authenticator(SECRET, clock)
        users = Users(database, AddressCipher("0b" * 32), ["boss@example.com"])
        sessions = SessionStore(database)
        catalogue = ErrorCatalogue()
        catalogue.add([ErrorCode("THING_NOT_FOUND", 404, "그런 것은 없어요.", "There is no such thing.")])

        async def database_answers() -> None:
            await database.fetchval("SELECT 1")

        deps = WebDependencies(
            db=database,
            authenticator=authenticator,
            csrf=CsrfTokens(derive_key(SECRET, "csrf")),
            catalogue=catalogue,
            clock=clock,
            app_env="test",
            edge_port=lambda: EDGE_PORT,
            metrics=prometheus_client.CollectorRegistry(),
            health_checks={"database": HealthCheck(database_answers)},
            templates=templates,
        )
        deps = attrs.evolve(deps, **changes)
        router = WebRouter()
        things = Things()
        things.register(router)
        IdentityRoutes(users, sessions, authenticator, dev_login=deps.app_env != "production").register(router)
        app = build_app(router, deps)
        async with trio.open_nursery() as nursery:
            port = await nursery.start(serve_web, app, "127.0.0.1", 0)
            yield Site(f"http://127.0.0.1:{port}", things, authenticator, users, sessions)
            nursery.cancel_scope.cancel()

    return opened


@pytest.fixture
async def site(open_site: OpenSite) -> AsyncIterator[Site]:
    async with open_site() as opened:
        yield opened


@pytest.fixture
def sample_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a page, an error page, messages and static files."""
    package = tmp_path / "sample_shop"
    for name in ("templates", "static", "messages"):
        (package / name).mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "templates" / "base.html").write_text(
        '<html lang="{{ lang }}">'
        '<script nonce="{{ nonce }}" src="{{ url_for_static("sample_shop", "app.js") }}"></script>'
        "{% block body %}{% endblock %}</html>"
    )
    (package / "templates" / "show.html").write_text(
        '{% extends "sample_shop/base.html" %}{% block body %}<h1>{{ t("greeting.hello", name=title) }}</h1>'
        '<form method="post"><input type="hidden" name="csrfToken" value="{{ csrf_token }}"></form>'
        "<p>{{ user.display_name if user else t('greeting.guest') }} {{ edge_port }} {{ request.path }}</p>"
        "{% endblock %}"
    )
    (package / "templates" / "error.html").write_text("<h1>{{ status }} {{ code }}</h1><p>{{ sentence }}</p>")
    (package / "messages" / "ko.toml").write_text('[greeting]\nhello = "{name} 안녕"\nguest = "손님"\n')
    (package / "messages" / "en.toml").write_text('[greeting]\nhello = "Hello {name}"\nguest = "guest"\n')
    (package / "static" / "app.js").write_text("console.log('hi');\n" * 200)
    (package / "static" / ".hidden").write_text("no")
    (package / "secret.txt").write_text("not static")
    (package / "static" / "link.txt").symlink_to(package / "secret.txt")
    monkeypatch.syspath_prepend(str(tmp_path))
    return package
