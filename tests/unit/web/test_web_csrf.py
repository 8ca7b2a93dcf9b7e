"""Who may change something with somebody's cookies."""

from __future__ import annotations

from web_site import OpenSite, Site

from dorami_core.web.csrf import CsrfTokens, is_origin_allowed

THING = {"title": "a", "unitCount": 1}


async def test_cookie_calls_need_the_token(site: Site) -> None:
    async with site.signed_in() as client:
        good = client.headers.pop("X-CSRF-Token")
        assert (await client.post("/api/things", json=THING)).json()["errorCode"] == "CSRF_INVALID"
        assert (await client.post("/api/things", json=THING, headers={"X-CSRF-Token": good + "x"})).status_code == 403
        assert (await client.post("/api/things", json=THING, headers={"X-CSRF-Token": good})).status_code == 201
        fresh = (await client.get("/api/csrf")).json()["data"]["csrfToken"]
        assert fresh == good


async def test_the_token_of_another_session_is_refused(site: Site) -> None:
    async with site.signed_in("other@example.com") as other:
        stolen = other.cookies["csrf-token"]
    async with site.signed_in() as client:
        client.cookies.delete("csrf-token")
        client.cookies.set("csrf-token", stolen)
        answer = await client.post("/api/things", json=THING, headers={"X-CSRF-Token": stolen})
        assert answer.json()["errorCode"] == "CSRF_INVALID"


async def test_the_token_of_a_guest_is_not_that_of_the_user_he_becomes(site: Site) -> None:
    async with site.client() as client:
        before = (await client.get("/api/csrf")).json()["data"]["csrfToken"]
        assert (await client.post("/api/open", headers={"X-CSRF-Token": before})).status_code == 200
        await client.post("/api/auth/dev-login", json={"email": "a@b.c"})
        after = client.cookies["csrf-token"]
        assert after != before
        client.cookies.delete("csrf-token")
        client.cookies.set("csrf-token", before)
        assert (await client.post("/api/open", headers={"X-CSRF-Token": before})).status_code == 403


async def test_a_bearer_needs_no_token_whatever_the_cookies(site: Site) -> None:
    bearer = await site.bearer()
    async with site.client() as client:
        answer = await client.post("/api/things", json=THING, headers={**bearer, "Origin": "http://evil.example"})
        assert answer.status_code == 201


ORIGINS = [
    ({"Origin": "http://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Sec-Fetch-Site": "same-origin"}, 201),
    ({"Origin": "https://shop.example"}, 201),
    ({}, 201),
]


async def test_origin(open_site: OpenSite) -> None:
    async with open_site(cors_origins=["https://shop.example"]) as site, site.signed_in() as client:
        for headers, status in ORIGINS:
            assert (await client.post("/api/things", json=THING, headers=headers)).status_code == status, headers
        own = await client.post("/api/things", json=THING, headers={"Origin": site.url})
        assert own.status_code == 201


async def test_it_can_be_switched_off(open_site: OpenSite) -> None:
    async with open_site(csrf_enabled=False) as site, site.signed_in() as client:
        del client.headers["X-CSRF-Token"]
        assert (await client.post("/api/things", json=THING)).status_code == 201


async def test_signing_in_comes_before_the_token(site: Site) -> None:
    async with site.client() as client:
        assert (await client.post("/api/things", json=THING)).json()["errorCode"] == "UNAUTHORIZED"


def test_tokens_are_bound_and_signed() -> None:
    tokens = CsrfTokens(b"k" * 32)
    token = tokens.issue("s:1")
    assert tokens.is_valid(token, "s:1")
    assert not tokens.is_valid(token, "s:2")
    assert not tokens.is_valid("", "s:1")
    assert not tokens.is_valid("é." + token, "s:1")
    assert not CsrfTokens(b"l" * 32).is_valid(token, "s:1")
    assert not tokens.is_submitted(token, tokens.issue("s:1"), "s:1")


def test_origin_of_another_port_is_another_origin() -> None:
    assert not is_origin_allowed({"origin": "http://localhost:9999"}, "http://localhost:8000", ())
    assert is_origin_allowed({"origin": "http://localhost:8000"}, "http://LOCALHOST:8000", ())
