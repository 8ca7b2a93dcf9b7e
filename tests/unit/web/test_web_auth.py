"""Sign-in, its cookies, refresh and logout over HTTP."""

from __future__ import annotations

from http.cookies import SimpleCookie

import httpx
import pytest
from web_site import OpenSite, Site

from dorami_core.store.postgres import PostgresDatabase
from dorami_core.testing.clock import move_database_clock


def cookies_of(response: httpx.Response) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for line in response.headers.get_list("set-cookie"):
        for name, morsel in SimpleCookie(line).items():
            found[name] = {"value": morsel.value, **{key: str(value) for key, value in morsel.items() if value}}
    return found


async def test_dev_login_answers_the_user_and_sets_cookies(site: Site) -> None:
    async with site.client() as client:
        answer = await client.post(
            "/api/auth/dev-login", json={"email": " Mina@Example.com ", "name": "미나", "instagramId": "mina.k"}
        )
    data = answer.json()["data"]
    assert answer.status_code == 200
    assert data["user"]["email"] == "mina@example.com"
    assert data["user"]["role"] == "USER"
    assert data["user"]["instagramId"] == "mina.k"
    assert data["expiresAt"].endswith("Z")
    cookies = cookies_of(answer)
    access, refresh = cookies["access_token"], cookies["refresh_token"]
    assert access["value"] == data["accessToken"]
    assert (access["path"], access["max-age"], access["samesite"], access["httponly"]) == ("/", "900", "Lax", "True")
    assert (refresh["path"], refresh["max-age"], refresh["samesite"]) == ("/api/auth", "604800", "Lax")
    assert refresh["httponly"] == "True"
    assert "secure" not in access
    assert "httponly" not in cookies["csrf-token"]


async def test_cookies_are_secure_under_https_of_a_trusted_proxy(open_site: OpenSite) -> None:
    async with open_site(trusted_proxies=["127.0.0.1"]) as site, site.client() as client:
        answer = await client.get("/api/csrf", headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"})
        assert cookies_of(answer)["csrf-token"]["secure"] == "True"
        assert "strict-transport-security" in answer.headers
        seen = await client.get(
            "/api/things/00000000-0000-4000-8000-000000000000", headers={"X-Forwarded-For": "6.6.6.6, 203.0.113.9"}
        )
        assert seen.json()["data"]["peer"] == "203.0.113.9"


async def test_forwarded_headers_of_strangers_do_not_count(site: Site) -> None:
    async with site.client() as client:
        answer = await client.get("/api/csrf", headers={"X-Forwarded-Proto": "https"})
        seen = await client.get(
            "/api/things/00000000-0000-4000-8000-000000000000", headers={"X-Forwarded-For": "203.0.113.9"}
        )
    assert "secure" not in cookies_of(answer)["csrf-token"]
    assert seen.json()["data"]["peer"] == "127.0.0.1"


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
async def test_dev_login_is_hidden_behind_proxies(site: Site, header: str) -> None:
    async with site.client() as client:
        answer = await client.post("/api/auth/dev-login", json={"email": "a@b.c"}, headers={header: "127.0.0.1"})
    assert (answer.status_code, answer.json()["errorCode"]) == (404, "NOT_FOUND")


async def test_dev_login_and_docs_do_not_exist_in_production(open_site: OpenSite) -> None:
    async with open_site(app_env="production") as site, site.client() as client:
        answer = await client.post("/api/auth/dev-login", json={"email": "a@b.c"})
        assert (answer.status_code, answer.json()["errorCode"]) == (404, "NOT_FOUND")
        assert (await client.get("/api/openapi.json")).status_code == 404
        assert (await client.get("/api/docs")).status_code == 404


async def test_me_by_cookie_by_bearer_and_by_nobody(site: Site) -> None:
    bearer = await site.bearer("yuna@example.com", role="ADMIN")
    async with site.client() as client:
        assert (await client.get("/api/auth/me")).status_code == 401
        assert (await client.get("/api/auth/me", headers=bearer)).json()["data"]["role"] == "ADMIN"
        wrong = {"Authorization": "Bearer nonsense"}
        # A bearer that does not hold is an error on public routes as well.
        assert (await client.get("/api/things", headers=wrong)).json()["errorCode"] == "UNAUTHORIZED"
    async with site.signed_in() as client:
        assert (await client.get("/api/users/me")).json()["data"]["email"] == "mina@example.com"


async def test_a_broken_access_cookie_is_a_guest(site: Site) -> None:
    async with site.client(cookies={"access_token": "nonsense"}) as client:
        assert (await client.get("/api/things")).status_code == 200
        assert (await client.get("/api/auth/me")).status_code == 401
        assert (await client.post("/api/auth/dev-login", json={"email": "a@b.c"})).status_code == 200


async def test_roles(site: Site) -> None:
    async with site.client() as client:
        assert (await client.get("/api/staff")).status_code == 401
    async with site.signed_in() as client:
        assert (await client.get("/api/staff")).json()["errorCode"] == "FORBIDDEN"
    async with site.signed_in("boss@example.com") as client:
        assert (await client.get("/api/staff")).json()["data"] == "ADMIN"


async def test_refresh_rotates_and_an_old_token_ends_the_family(site: Site) -> None:
    async with site.signed_in() as client:
        first = client.cookies["refresh_token"]
        answer = await client.post("/api/auth/refresh")
        assert answer.status_code == 200
        second = client.cookies["refresh_token"]
        assert second != first
        client.headers["X-CSRF-Token"] = client.cookies["csrf-token"]
        client.cookies.delete("refresh_token")
        client.cookies.set("refresh_token", first, path="/api/auth")
        assert (await client.post("/api/auth/refresh")).json()["errorCode"] == "UNAUTHORIZED"
        client.cookies.delete("refresh_token")
        client.cookies.set("refresh_token", second, path="/api/auth")
        assert (await client.post("/api/auth/refresh")).status_code == 401


async def test_refresh_works_when_the_access_cookie_is_gone(site: Site) -> None:
    async with site.signed_in() as client:
        client.cookies.delete("access_token")
        assert (await client.get("/api/auth/me")).status_code == 401
        assert (await client.post("/api/auth/refresh")).status_code == 200
        assert (await client.get("/api/auth/me")).status_code == 200


async def test_refresh_needs_csrf_and_a_cookie(site: Site) -> None:
    async with site.signed_in() as client:
        del client.headers["X-CSRF-Token"]
        assert (await client.post("/api/auth/refresh")).json()["errorCode"] == "CSRF_INVALID"
    async with site.client() as client:
        token = (await client.get("/api/csrf")).json()["data"]["csrfToken"]
        answer = await client.post("/api/auth/refresh", headers={"X-CSRF-Token": token})
        assert answer.json()["errorCode"] == "UNAUTHORIZED"


async def test_a_session_is_over_after_seven_days(site: Site, database: PostgresDatabase) -> None:
    async with site.signed_in() as client:
        await move_database_clock(database, 7 * 24 * 3600 + 1)
        assert (await client.post("/api/auth/refresh")).status_code == 401


async def test_logout_ends_the_session_and_takes_the_cookies(site: Site) -> None:
    async with site.signed_in() as client:
        refresh = client.cookies["refresh_token"]
        answer = await client.post("/api/auth/logout")
        assert (answer.status_code, answer.json()["data"]) == (200, None)
        assert "access_token" not in client.cookies
        assert "refresh_token" not in client.cookies
        client.cookies.set("refresh_token", refresh, path="/api/auth")
        assert (await client.post("/api/auth/refresh")).status_code == 401


async def test_profile_and_address(site: Site, database: PostgresDatabase) -> None:
    address = {"recipient": "김미나", "line1": "성수이로 1", "city": "서울", "postalCode": "04782", "country": "KR"}
    async with site.signed_in(name="미나", instagramId="mina") as client:
        changed = await client.patch("/api/users/me", json={"instagramId": ""})
        assert changed.json()["data"]["instagramId"] is None
        assert changed.json()["data"]["name"] == "미나"
        assert site.authenticator.read(client.cookies["access_token"])[0].display_name == "익명"
        saved = await client.put("/api/users/me/shipping-address", json=address)
        assert saved.status_code == 200
        shown = (await client.get("/api/users/me")).json()["data"]["shippingAddress"]
        assert shown == {**address, "line2": None, "state": None, "phone": None}
        bad = await client.put("/api/users/me/shipping-address", json={**address, "country": "Korea"})
        assert bad.json()["details"]["fields"][0]["field"] == "country"
    stored = await database.fetchval("SELECT shipping_address FROM core.users")
    assert "김미나".encode() not in stored


async def test_a_suspended_user_can_neither_sign_in_nor_refresh(site: Site, database: PostgresDatabase) -> None:
    async with site.signed_in() as client:
        await database.execute("UPDATE core.users SET status = 'SUSPENDED'")
        assert (await client.post("/api/auth/refresh")).status_code == 401
        assert (await client.post("/api/auth/dev-login", json={"email": "mina@example.com"})).status_code == 403
