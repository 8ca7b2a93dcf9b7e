"""Envelope, errors of every kind, bodies and queries, hosts, CORS, headers."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx
import pytest
import trio
from quart_trio import QuartTrio
from web_site import EDGE_PORT, OpenSite, Site

from dorami_core.web import core_routes
from dorami_core.web.dependencies import HealthCheck
from dorami_core.web.serve import serve_web

ID = "00000000-0000-4000-8000-000000000000"


def error_of(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    assert set(body) - {"details"} == {"statusCode", "errorCode", "message", "timestamp"}
    assert body["statusCode"] == answer.status_code
    assert body["message"]
    return answer.status_code, body["errorCode"]


async def test_success(site: Site) -> None:
    async with site.client() as client:
        answer = await client.get("/api/things?limit=5&onlyNew=true")
    body = answer.json()
    assert set(body) == {"data", "success", "timestamp"}
    assert body["success"] is True
    assert body["data"] == {
        "items": [{"limit": 5, "cursor": None, "onlyNew": True, "minPrice": None}],
        "nextCursor": "next",
    }
    assert answer.headers["cache-control"] == "no-store"


BAD_QUERIES = [
    ("limit=five", "limit"),
    ("limit=0", "limit"),
    ("limit=1.5", "limit"),
    ("limit=99999999999999999999", "limit"),
    ("onlyNew=maybe", "onlyNew"),
    ("what=1", "$"),
]


async def test_bad_queries(site: Site) -> None:
    async with site.client() as client:
        for query, field in BAD_QUERIES:
            answer = await client.get(f"/api/things?{query}")
            assert error_of(answer) == (400, "VALIDATION_FAILED"), query
            assert answer.json()["details"]["fields"][0]["field"] == field, query


BODIES: list[tuple[Any, str | None]] = [
    ({"title": "a", "unitCount": 1}, None),
    ({"title": "a", "unitCount": 1, "parts": [{"label": "x"}], "isNew": True}, None),
    ({"title": "a"}, "unitCount"),
    ({"title": "a", "unitCount": "1"}, "unitCount"),
    ({"title": "a", "unitCount": 1.0}, "unitCount"),
    ({"title": "a", "unitCount": True}, "unitCount"),
    ({"title": None, "unitCount": 1}, "title"),
    ({"title": "a", "unitCount": 1, "isNew": 1}, "isNew"),
    ({"title": "a", "unitCount": 1, "unit_count": 2}, "unit_count"),
    ({"title": "a", "unitCount": 1, "parts": [{"label": 3}]}, "parts[0].label"),
    ({"title": "a", "unitCount": 2**53}, "$"),
    ({"title": "a\x00", "unitCount": 1}, "title"),
    ([], "$"),
    (None, "$"),
    ("text", "$"),
]


async def test_bodies(site: Site) -> None:
    async with site.signed_in() as client:
        client.headers["Content-Type"] = "application/json; charset=utf-8"
        for content, expected in BODIES:
            answer = await client.post("/api/things", content=json.dumps(content))
            if expected is None:
                assert answer.status_code == 201, content
                continue
            assert error_of(answer) == (400, "VALIDATION_FAILED"), content
            assert expected in json.dumps(answer.json()["details"], ensure_ascii=False), content
    assert site.things.calls == 2


MALFORMED = [
    b"{",
    b'{"a": NaN}',
    b"\xff\xfe",
    b'{"a": "\xed\xa0\x80"}',
    b"[" * 100_000,
    b"1" * 5000,
    b'{"a": 1e999}',
]


async def test_malformed_json(site: Site) -> None:
    async with site.signed_in() as client:
        for content in MALFORMED:
            answer = await client.post("/api/things", content=content, headers={"Content-Type": "application/json"})
            assert error_of(answer) == (400, "VALIDATION_FAILED"), content[:20]


async def test_other_content_types_are_refused(site: Site) -> None:
    async with site.signed_in() as client:
        form = await client.post("/api/things", data={"title": "a", "unitCount": "1"})
        text = await client.post("/api/things", content=b'{"title":"a","unitCount":1}')
        none = await client.post("/api/things")
    assert error_of(form) == error_of(text) == error_of(none) == (400, "VALIDATION_FAILED")
    assert form.json()["details"]["fields"][0]["field"] == "Content-Type"
    assert none.json()["details"]["fields"][0] == {"field": "title", "problem": "required field missing"}


async def test_a_route_without_a_body_takes_none(site: Site) -> None:
    async with site.signed_in() as client:
        assert (await client.post(f"/api/things/{ID}/touch")).status_code == 200
        assert (await client.post(f"/api/things/{ID}/touch", json={})).status_code == 200
        assert error_of(await client.post(f"/api/things/{ID}/touch", json={"x": 1})) == (400, "VALIDATION_FAILED")


async def test_a_body_over_one_mebibyte(site: Site) -> None:
    big = json.dumps({"title": "x" * (1024 * 1024), "unitCount": 1}).encode()

    async def in_pieces() -> Any:
        for start in range(0, len(big), 65536):
            yield big[start : start + 65536]

    async with site.signed_in() as client:
        headers = {"Content-Type": "application/json"}
        whole = await client.post("/api/things", content=big, headers=headers)
        assert error_of(whole) == (413, "PAYLOAD_TOO_LARGE")
        pieces = await client.post("/api/things", content=in_pieces(), headers=headers)
        assert error_of(pieces) == (413, "PAYLOAD_TOO_LARGE")
        fits = json.dumps({"title": "x" * 1_000_000, "unitCount": 1}).encode()
        assert (await client.post("/api/things", content=fits, headers=headers)).status_code == 201


async def test_unknown_paths_ids_and_methods(site: Site) -> None:
    async with site.client() as client:
        assert error_of(await client.get("/api/nothing")) == (404, "NOT_FOUND")
        assert error_of(await client.get("/api/things/")) == (404, "NOT_FOUND")
        assert error_of(await client.get("/api/things/not-an-id")) == (404, "THING_NOT_FOUND")
        assert error_of(await client.get("/api/things/%00")) == (404, "NOT_FOUND")
        assert error_of(await client.get("/api/things/%ff")) == (404, "NOT_FOUND")
        wrong = await client.delete("/api/things")
        assert error_of(wrong) == (405, "METHOD_NOT_ALLOWED")
        assert wrong.headers["allow"] == "GET, HEAD, POST"
        assert error_of(await client.options("/api/things")) == (405, "METHOD_NOT_ALLOWED")
        assert error_of(await client.request("BREW", "/api/things")) == (405, "METHOD_NOT_ALLOWED")
        assert (await client.get(f"/api/things/{ID.upper()}")).json()["data"]["id"] == ID
        assert (await client.head("/api/things")).content == b""


async def test_what_nobody_expected_says_nothing(site: Site) -> None:
    async with site.client() as client:
        answer = await client.get("/api/fail")
    assert error_of(answer) == (500, "INTERNAL_ERROR")
    assert "secret" not in answer.text


async def test_a_domain_error_has_its_facts_and_its_wait(site: Site) -> None:
    async with site.signed_in() as client:
        limited = await client.post("/api/refuse/RATE_LIMITED?retry=1")
        assert error_of(limited) == (429, "RATE_LIMITED")
        assert limited.headers["retry-after"] == "2"
        assert limited.json()["details"] == {"left": 3}
        assert error_of(await client.post("/api/refuse/NO_SUCH_CODE")) == (500, "INTERNAL_ERROR")


LANGUAGES: list[tuple[dict[str, Any], str]] = [
    ({}, "그런 것은 없어요."),
    ({"headers": {"Accept-Language": "en-GB,en;q=0.9,ko;q=0.5"}}, "There is no such thing."),
    ({"headers": {"Accept-Language": "fr,de;q=x,ko;q=0.5,en;q=0.1"}}, "그런 것은 없어요."),
    ({"params": {"lang": "en"}}, "There is no such thing."),
    ({"cookies": {"lang": "en"}, "params": {"lang": "xx"}}, "There is no such thing."),
]


async def test_language(site: Site) -> None:
    for options, sentence in LANGUAGES:
        async with site.client(**options) as client:
            assert (await client.get("/api/things/x")).json()["message"] == sentence, options


SERVED = ["127.0.0.1:1", "localhost", "LOCALHOST:80", "[::1]:8000", "10.0.0.7", "shop.example", "Shop.Example:444"]
REFUSED = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "a b", "shop.example:x", "me@localhost"]


async def test_hosts(open_site: OpenSite) -> None:
    async with open_site(hosts=["shop.example"]) as site, site.client() as client:
        for host in SERVED:
            assert (await client.get("/api/health/live", headers={"Host": host})).status_code == 200, host
        for host in REFUSED:
            answer = await client.get("/api/health/live", headers={"Host": host})
            assert error_of(answer) == (421, "MISDIRECTED_REQUEST"), host


async def test_cors(open_site: OpenSite) -> None:
    async with open_site(cors_origins=["https://shop.example"]) as site, site.client() as client:
        ask = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
        preflight = await client.options("/api/things", headers=ask)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == "https://shop.example"
        assert "X-CSRF-Token" in preflight.headers["access-control-allow-headers"]
        answer = await client.get("/api/things", headers={"Origin": "https://shop.example"})
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "Origin" in answer.headers["vary"]
        refused = await client.options("/api/things", headers={**ask, "Origin": "https://evil.example"})
        assert error_of(refused) == (403, "FORBIDDEN")
        stranger = await client.get("/api/things", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in stranger.headers


async def test_security_headers(site: Site) -> None:
    async with site.client() as client:
        page = await client.get("/nowhere")
        api = await client.get("/api/things")
        docs = await client.get("/api/docs")
    policy = page.headers["content-security-policy"]
    assert f"connect-src 'self' http://127.0.0.1:{EDGE_PORT} ws://127.0.0.1:{EDGE_PORT}" in policy
    assert "worker-src 'self' blob:" in policy
    assert "script-src 'self' 'nonce-" in policy
    assert "img-src 'self' data: https: http://127.0.0.1:18080;" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["x-frame-options"] == "DENY"
    assert "camera=()" in page.headers["permissions-policy"]
    assert "referrer-policy" in page.headers
    assert "strict-transport-security" not in page.headers
    assert "server" not in page.headers
    assert api.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    nonce = docs.text.partition('nonce="')[2].partition('"')[0]
    assert f"'nonce-{nonce}'" in docs.headers["content-security-policy"]


async def test_health(open_site: OpenSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_routes, "CHECK_LIMIT_S", 0.1)

    async def away() -> None:
        raise OSError("refused")

    async def silent() -> None:
        await trio.sleep_forever()

    async def fine() -> None:
        pass

    async with open_site() as site, site.client() as client:
        assert (await client.get("/api/health/live")).json()["data"] == {"status": "ok"}
        assert (await client.get("/api/health/ready")).json()["data"]["status"] == "ok"
    checks = {"database": HealthCheck(fine), "redis": HealthCheck(away, required=False)}
    async with open_site(health_checks=checks) as site, site.client() as client:
        answer = await client.get("/api/health/ready")
        assert answer.status_code == 200
        assert answer.json()["data"] == {"status": "degraded", "checks": {"database": "ok", "redis": "down"}}
    async with open_site(health_checks={"database": HealthCheck(silent)}) as site, site.client() as client:
        answer = await client.get("/api/health/ready")
        assert error_of(answer) == (503, "UNAVAILABLE")
        assert answer.json()["details"]["checks"] == {"database": "down"}


async def test_metrics(open_site: OpenSite) -> None:
    async with open_site(metrics_token="t0ken") as site, site.client() as client:
        await client.get(f"/api/things/{ID}")
        own = await client.get("/metrics")
        assert 'dorami_http_requests_total{method="GET",route="/api/things/<id>",status="200"} 1.0' in own.text
        proxied = {"X-Forwarded-For": "203.0.113.9"}
        assert (await client.get("/metrics", headers=proxied)).status_code == 404
        assert (await client.get("/metrics", headers={**proxied, "Authorization": "Bearer wrong"})).status_code == 404
        assert (await client.get("/metrics", headers={**proxied, "Authorization": "Bearer t0ken"})).status_code == 200


@pytest.mark.plain_trio
async def test_a_taken_port_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            await serve_web(QuartTrio("dorami_core.web"), "127.0.0.1", taken.getsockname()[1])
