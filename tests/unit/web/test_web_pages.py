"""Pages, forms, languages, static files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
from web_site import EDGE_PORT, Site

from dorami_core.hooks.http import Templates
from dorami_core.web.messages import MessagesError, load_messages
from dorami_core.web.static import StaticFiles


@pytest.fixture
def templates(sample_shop: Path) -> Sequence[Templates]:
    return (Templates("sample_shop"),)


def token_in(page: httpx.Response) -> str:
    return page.text.partition('name="csrfToken" value="')[2].partition('"')[0]


async def test_a_page_for_a_guest(site: Site) -> None:
    async with site.client() as client:
        page = await client.get("/things", params={"title": "<b>모자</b>"})
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "&lt;b&gt;모자&lt;/b&gt; 안녕" in page.text
        assert f"손님 {EDGE_PORT} /things" in page.text
        nonce = page.text.partition('nonce="')[2].partition('"')[0]
        assert f"'nonce-{nonce}'" in page.headers["content-security-policy"]
        assert token_in(page) == client.cookies["csrf-token"]
        guest = client.cookies["guest"]
        assert site.authenticator.guest_id(guest)
        set_cookie = next(line for line in page.headers.get_list("set-cookie") if line.startswith("guest="))
        assert "HttpOnly" in set_cookie
        assert "SameSite=Lax" in set_cookie
        again = await client.get("/things")
        assert "set-cookie" not in again.headers
        assert token_in(again) == token_in(page)


async def test_an_unsigned_guest_is_replaced(site: Site) -> None:
    async with site.client(cookies={"guest": "somebody.else"}) as client:
        page = await client.get("/things")
    assert any(line.startswith("guest=") for line in page.headers.get_list("set-cookie"))


async def test_language_is_remembered(site: Site) -> None:
    async with site.client() as client:
        assert "Hello" in (await client.get("/things?lang=en")).text
        page = await client.get("/things")
        assert '<html lang="en">' in page.text
        assert "Hello" in page.text
        assert (await client.get("/refuse")).text.startswith("<h1>409 CONFLICT</h1><p>This is not possible")


async def test_a_form(site: Site) -> None:
    async with site.client() as client:
        token = token_in(await client.get("/things"))
        answer = await client.post("/things", data={"title": "모자", "unitCount": "3", "csrfToken": token})
        assert (answer.status_code, answer.headers["location"]) == (303, "/things?title=%EB%AA%A8%EC%9E%90&n=3")


async def test_a_form_needs_its_token(site: Site) -> None:
    async with site.client() as client:
        await client.get("/things")
        answer = await client.post("/things", data={"title": "a", "unitCount": "3"})
        assert answer.status_code == 403
        assert "CSRF_INVALID" in answer.text


async def test_bad_forms(site: Site) -> None:
    async with site.client() as client:
        token = token_in(await client.get("/things"))
        for data in ({"title": "a"}, {"title": "a", "unitCount": "x"}, {"title": "a", "unitCount": "1", "more": ""}):
            answer = await client.post("/things", data={**data, "csrfToken": token})
            assert answer.status_code == 400
            assert "VALIDATION_FAILED" in answer.text
        answer = await client.post("/things", json={"title": "a", "unitCount": 1, "csrfToken": token})
        assert answer.status_code == 400


async def test_a_guest_is_sent_to_sign_in_and_a_user_is_not(site: Site) -> None:
    async with site.client() as client:
        answer = await client.get("/mine")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/mine")
        answer = await client.get("/mine?title=a%26b&n=1")
        assert httpx.URL(answer.headers["location"]).params["next"] == "/mine?title=a%26b&n=1"
    async with site.client(cookies={"access_token": "expired"}) as client:
        assert (await client.get("/mine")).status_code == 303
    async with site.signed_in(instagramId="mina") as client:
        assert "mina" in (await client.get("/mine")).text


async def test_redirects_stay_here(site: Site) -> None:
    async with site.client() as client:
        for target in ("//evil.example", "https://evil.example", "/\\evil.example", "", "/a\r\nX: y"):
            answer = await client.get("/leave", params={"to": target})
            assert answer.status_code == 500, target
            assert "location" not in answer.headers, target


async def test_error_pages(site: Site) -> None:
    async with site.client() as client:
        missing = await client.get("/nothing-here")
        assert missing.status_code == 404
        assert missing.text.startswith("<h1>404 NOT_FOUND</h1>")
        broken = await client.get("/broken")
        assert broken.status_code == 500
        assert "secret" not in broken.text


async def test_static_files(site: Site) -> None:
    async with site.client() as client:
        url = re.search(r'src="([^"]+)"', (await client.get("/things")).text)
        assert url is not None
        assert re.fullmatch(r"/static/sample_shop/app\.js\?v=[0-9a-f]{12}", url[1])
        answer = await client.get(url[1])
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        assert answer.headers["content-encoding"] == "gzip"
        assert "immutable" in answer.headers["cache-control"]
        assert answer.text.startswith("console.log")
        plain = await client.get("/static/sample_shop/app.js", headers={"Accept-Encoding": "identity"})
        assert plain.headers["cache-control"] == "no-cache"
        assert "content-encoding" not in plain.headers
        known = {"If-None-Match": plain.headers["etag"]}
        assert (await client.get("/static/sample_shop/app.js", headers=known)).status_code == 304


async def test_no_way_out_of_the_static_folder(site: Site) -> None:
    names = ("..%2fsecret.txt", "../secret.txt", "%2e%2e/secret.txt", ".hidden", "link.txt", "/app.js", "", "%00", "no")
    async with site.client() as client:
        for path in (*(f"sample_shop/{name}" for name in names), "nobody/app.js", "app.js"):
            request = client.build_request("GET", "/")
            request.url = request.url.copy_with(raw_path=f"/static/{path}".encode())
            answer = await client.send(request)
            assert answer.status_code == 404, path
            assert "not static" not in answer.text, path


def test_a_changed_file_has_another_url(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("a")
    files = StaticFiles({"shop": tmp_path})
    first = files.url("shop", "a.css")
    (tmp_path / "a.css").write_text("ab")
    assert files.url("shop", "a.css") != first
    assert files.url("shop", "none.css") == "/static/shop/none.css"


def test_messages_must_be_complete(tmp_path: Path) -> None:
    (tmp_path / "ko.toml").write_text('a = "가"\n[b]\nc = "{n}개"\n')
    (tmp_path / "en.toml").write_text('a = "a"\n[b]\nc = "{n} of them"\n')
    messages = load_messages([tmp_path, tmp_path / "none"])
    assert messages.translator("ko")("b.c", n=3) == "3개"
    assert messages.translator("en")("b.c", n=3) == "3 of them"
    assert messages.translator("ko")("nobody.has") == "nobody.has"
    (tmp_path / "en.toml").write_text('a = "a"\n')
    with pytest.raises(MessagesError, match=r"en\.toml: b\.c is missing"):
        load_messages([tmp_path])
    (tmp_path / "en.toml").write_text("a = 1\n")
    with pytest.raises(MessagesError, match="no string"):
        load_messages([tmp_path])
