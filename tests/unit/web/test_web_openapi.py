"""The OpenAPI document, the docs page, the registration of routes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from web_site import Site, Things

from dorami_core.base.errors import ErrorCatalogue
from dorami_core.base.money import Money
from dorami_core.hooks.http import Router
from dorami_core.web.openapi import build_openapi
from dorami_core.web.router import WebRouter


@attrs.frozen
class Priced:
    unit_price: Money
    best_offer: Money | None = None


def refs_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from refs_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from refs_in(inner)


def resolve(document: Any, ref: str) -> Any:
    assert ref.startswith("#/")
    for part in ref[2:].split("/"):
        document = document[part]
    return document


async def test_the_document_is_whole(site: Site) -> None:
    async with site.client() as client:
        document = (await client.get("/api/openapi.json")).json()
        docs = (await client.get("/api/docs")).text
    assert document["openapi"] == "3.1.0"
    for ref in refs_in(document):
        resolve(document, ref)
    things = document["paths"]["/api/things"]
    body = resolve(document, things["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"])
    assert set(body["properties"]) == {"title", "unitCount", "parts", "isNew"}
    assert set(body["required"]) == {"title", "unitCount"}
    assert body["additionalProperties"] is False
    assert document["components"]["schemas"]["Part"]["additionalProperties"] is False
    assert {entry["name"] for entry in things["get"]["parameters"]} == {"limit", "cursor", "onlyNew", "minPrice"}
    assert things["post"]["security"] == [{"bearer": []}, {"cookie": []}]
    one = document["paths"]["/api/things/{id}"]["get"]
    assert one["parameters"][0] == {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))
    login = document["components"]["schemas"]["DevLogin"]
    assert set(login["properties"]) == {"email", "name", "instagramId", "role"}
    assert "/api/users/me/shipping-address" in document["paths"]
    assert "/api/users/me/shipping-address" in docs


def test_money_is_a_string() -> None:
    async def handler(request: Any, body: Any) -> None: ...

    router = WebRouter()
    router.api("POST", "/api/priced", handler, body=Priced, response=Priced)
    document = build_openapi(router.api_routes, ErrorCatalogue(), "1")
    for ref in refs_in(document):
        resolve(document, ref)
    assert document["components"]["schemas"]["Money"]["type"] == "string"
    assert "unitPrice" in document["components"]["schemas"]["Priced"]["properties"]


def test_what_the_router_refuses() -> None:
    router = WebRouter()
    things = Things()
    plugin_view: Router = router
    plugin_view.api("GET", "/api/a/{id}", things.one)
    with pytest.raises(ValueError, match="twice"):
        router.api("GET", "/api/a/{other}", things.one)
    with pytest.raises(ValueError, match="not under"):
        router.api("GET", "/a", things.one)
    with pytest.raises(ValueError, match="not for pages"):
        router.page("GET", "/api/b", things.show)
    with pytest.raises(ValueError, match="not one of"):
        router.api("LOOK", "/api/b", things.one)
    with pytest.raises(ValueError, match="no path"):
        router.page("GET", "/a/<b>", things.show)
