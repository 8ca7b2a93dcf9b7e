"""Every route answers nonsense with the envelope and a stable code, and never with a 500."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from dorami_core.testing.server import RunningDorami

NOWHERE = "00000000-0000-4000-8000-000000000000"
BAD_BODIES: list[tuple[str, dict[str, Any]]] = [
    ("malformed", {"content": b'{"a": ', "headers": {"Content-Type": "application/json"}}),
    ("no JSON", {"content": b"a=b", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}),
    ("not UTF-8", {"content": b'{"a": "\xff"}', "headers": {"Content-Type": "application/json"}}),
    ("a list", {"json": [1, 2]}),
    ("null", {"content": b"null", "headers": {"Content-Type": "application/json"}}),
    ("a number", {"json": 7}),
    ("unknown field", {"json": {"nonsense": 1}}),
    ("deep", {"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}),
    ("NaN", {"content": b'{"price": NaN}', "headers": {"Content-Type": "application/json"}}),
    ("lone surrogate", {"content": b'{"title": "\\ud800"}', "headers": {"Content-Type": "application/json"}}),
]
BAD_IDS = [NOWHERE, "1", "%00", "..%2f..%2fetc", "가방", "a" * 3000, "ORD-20260101-99999"]


def operations(client: httpx.Client) -> list[tuple[str, str, dict[str, Any]]]:
    schema = client.get("/api/openapi.json").json()
    return [
        (method.upper(), path, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
        if method in ("get", "post", "put", "patch", "delete")
    ]


def check(answer: httpx.Response, what: str) -> None:
    assert answer.status_code < 500, f"{what}: {answer.status_code} {answer.text[:300]}"
    if answer.status_code >= 400:
        body = answer.json()
        assert {"statusCode", "errorCode", "message", "timestamp"} <= set(body), what
        assert body["statusCode"] == answer.status_code, what
        assert re.fullmatch(r"[A-Z_]+", body["errorCode"]), what


def values(schema: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        schema = whole["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


@pytest.mark.parametrize("role", [None, "USER", "ADMIN"])
def test_no_nonsense_ends_in_a_500(role: str | None, demo: RunningDorami) -> None:
    email = None if role is None else f"fuzz-{role.lower()}@example.test"
    with demo.client(email, role=role or "USER") as client:
        found = operations(client)
        assert len(found) > 25
        for method, path, operation in found:
            if path.endswith(("/logout", "/refresh", "/dev-login")):
                continue
            for bad in BAD_IDS if "{" in path else [""]:
                url = re.sub(r"\{\w+\}", bad, path)
                check(client.request(method, url), f"{role} {method} {url[:80]}")
                if bad == NOWHERE or not bad:
                    for name, how in BAD_BODIES if method in ("POST", "PUT", "PATCH") else ():
                        answer = client.request(method, url, **how)
                        check(answer, f"{role} {method} {path} {name}")
                        if "requestBody" in operation:
                            assert answer.status_code >= 400, f"{role} {method} {path} took {name}"
            for query in ("?limit=0", "?limit=x", "?limit=101", "?cursor=%00", "?cursor=zz", "?status=NO", "?lang=xx"):
                check(
                    client.request(method, re.sub(r"\{\w+\}", NOWHERE, path) + query), f"{role} {method} {path}{query}"
                )


def test_every_field_refuses_every_wrong_type(demo: RunningDorami) -> None:
    with demo.client("fuzz-admin@example.test", role="ADMIN") as client:
        whole = client.get("/api/openapi.json").json()
        tried = 0
        for method, path, operation in operations(client):
            if "requestBody" not in operation or path.endswith("/dev-login"):
                continue
            body = values(operation["requestBody"]["content"]["application/json"]["schema"], whole)
            url = re.sub(r"\{\w+\}", NOWHERE, path)
            for field in body["properties"]:
                for wrong in ({}, [{}], 1.5, 10**40, -1, True, "\x00", "x" * 100_000):
                    answer = client.request(method, url, json={field: wrong})
                    check(answer, f"{method} {path} {field}={str(wrong)[:20]}")
                    tried += 1
        assert tried > 100


def test_too_large_and_unknown(demo: RunningDorami) -> None:
    with demo.client("fuzz-user@example.test") as client:
        big = client.post("/api/cart", content=b" " * (1 << 20) + b"{}", headers={"Content-Type": "application/json"})
        assert (big.status_code, big.json()["errorCode"]) == (413, "PAYLOAD_TOO_LARGE")
        nothing = client.get("/api/nothing")
        assert (nothing.status_code, nothing.json()["errorCode"]) == (404, "NOT_FOUND")
        assert client.delete("/api/health/live").json()["errorCode"] == "METHOD_NOT_ALLOWED"
        assert client.get("/api/cart", headers={"Host": "evil.example"}).status_code == 421
