"""OpenAPI 3.1 from the registered routes, and a page that lists them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import msgspec

from dorami_core.base.errors import ErrorCatalogue
from dorami_core.base.money import Money
from dorami_core.base.principal import Access
from dorami_core.base.structure import camel
from dorami_core.hooks.http import Paged
from dorami_core.web.router import ApiRoute

_REF = "#/components/schemas/{name}"
_MONEY = {"type": "string", "description": "Decimal string of major units", "examples": ["12.50"]}
_PAGED = {
    "type": "object",
    "required": ["items", "nextCursor"],
    "properties": {"items": {"type": "array", "items": {}}, "nextCursor": {"type": ["string", "null"]}},
}


def build_openapi(routes: Sequence[ApiRoute], catalogue: ErrorCatalogue, version: str) -> dict[str, Any]:
    """The whole document. TypeError where a class of a route cannot be described."""
    schemas = _Schemas(routes)
    paths: dict[str, Any] = {}
    for route in sorted(routes, key=lambda entry: (entry.path, entry.method)):
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    schemas.components["Error"] = _error_schema(catalogue)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Dorami", "version": version},
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "access_token"},
            },
            "responses": {
                "Error": {
                    "description": "An error; nothing was changed",
                    "content": {"application/json": {"schema": {"$ref": _REF.format(name="Error")}}},
                }
            },
        },
    }


class _Schemas:
    """Schemas of all classes of all routes, with the names that the API uses."""

    def __init__(self, routes: Iterable[ApiRoute]) -> None:
        described = {kind for route in routes for kind in (route.body, route.query, route.response) if kind is not None}
        self._kinds = sorted(described - {Paged, dict, list}, key=repr)
        found, components = msgspec.json.schema_components(self._kinds, ref_template=_REF, schema_hook=_schema_hook)
        self._by_kind = dict(zip(self._kinds, found, strict=True))
        self.components: dict[str, Any] = {name: _renamed(name, schema) for name, schema in components.items()}
        for route in routes:
            if route.body is not None and route.body is not dict:
                self._close(self.of(route.body))

    def of(self, kind: type) -> dict[str, Any]:
        if kind is Paged:
            return _PAGED
        if kind is dict:
            return {"type": "object"}
        if kind is list:
            return {"type": "array", "items": {}}
        return dict(self._by_kind[kind])

    def properties(self, kind: type) -> tuple[dict[str, Any], list[str]]:
        """Properties of a class and the names of those that are required."""
        schema = self.of(kind)
        if "$ref" in schema:
            schema = self.components[schema["$ref"].rpartition("/")[2]]
        return schema.get("properties", {}), schema.get("required", [])

    def _close(self, schema: Any) -> None:
        """Bodies take no unknown fields, nor do the objects inside them."""
        if isinstance(schema, list):
            for item in schema:
                self._close(item)
        if not isinstance(schema, dict):
            return
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            target = self.components[name]
            if "properties" in target and "additionalProperties" not in target:
                target["additionalProperties"] = False
                self._close(target)
            return
        for value in schema.values():
            self._close(value)


def _schema_hook(kind: type) -> dict[str, Any]:
    if kind is Money:
        return _MONEY
    raise NotImplementedError


def _renamed(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    if name == Money.__name__:
        return dict(_MONEY)
    if "properties" not in schema:
        return schema
    renamed = {**schema, "properties": {camel(key): value for key, value in schema["properties"].items()}}
    renamed["required"] = [camel(key) for key in schema.get("required", [])]
    return renamed


def _error_schema(catalogue: ErrorCatalogue) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["statusCode", "errorCode", "message", "timestamp"],
        "properties": {
            "statusCode": {"type": "integer"},
            "errorCode": {"type": "string", "enum": sorted(catalogue.all())},
            "message": {"type": "string"},
            "timestamp": {"type": "string", "format": "date-time"},
            "details": {"type": "object"},
        },
    }


def _operation(route: ApiRoute, schemas: _Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": re.sub(r"[^a-z0-9]+", "_", f"{route.method} {route.path}".lower()).strip("_"),
        "summary": route.summary or f"{route.method} {route.path}",
        "tags": [route.path.split("/")[2]],
        "responses": {
            str(route.status): {
                "description": "Success",
                "content": {"application/json": {"schema": _success_schema(route, schemas)}},
            },
            "default": {"$ref": "#/components/responses/Error"},
        },
    }
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{([^}]*)\}", route.path)
    ]
    if route.query is not None:
        properties, required = schemas.properties(route.query)
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": schema}
            for name, schema in properties.items()
        ]
    if route.method == "POST" and route.idempotent:
        parameters.append({"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "maxLength": 200}})
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        properties, required = schemas.properties(route.body) if attrs.has(route.body) else ({}, [])
        operation["requestBody"] = {
            "required": bool(required) or not properties,
            "content": {"application/json": {"schema": schemas.of(route.body)}},
        }
    if route.access is not Access.PUBLIC:
        operation["security"] = [{"bearer": []}, {"cookie": []}]
        operation["description"] = "For staff." if route.access is Access.ADMIN else "For signed-in users."
    return operation


def _success_schema(route: ApiRoute, schemas: _Schemas) -> dict[str, Any]:
    data = schemas.of(route.response) if route.response is not None else {}
    if not route.envelope:
        return data
    return {
        "type": "object",
        "required": ["data", "success", "timestamp"],
        "properties": {
            "data": data,
            "success": {"const": True},
            "timestamp": {"type": "string", "format": "date-time"},
        },
    }


def docs_page(routes: Sequence[ApiRoute], nonce: str) -> str:
    """All routes in one table, for reading."""
    rows = "".join(
        f"<tr><td><b>{route.method}</b></td><td><code>{html.escape(route.path)}</code></td>"
        f"<td>{route.access.value}</td><td><code>{html.escape(_fields(route))}</code></td>"
        f"<td>{html.escape(route.summary)}</td></tr>"
        for route in sorted(routes, key=lambda entry: (entry.path, entry.method))
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Dorami API</title>'
        '<meta name="viewport" content="width=device-width"><style nonce="' + nonce + '">'
        "body{font:15px/1.5 system-ui,sans-serif;background:#0b0b0f;color:#f5f5f7;margin:2rem}"
        "table{border-collapse:collapse}td,th{padding:.4rem .8rem;text-align:left;border-bottom:1px solid #20202a}"
        "a{color:#ff7ac1}</style></head><body><h1>Dorami API</h1>"
        '<p>The same for machines: <a href="/api/openapi.json">openapi.json</a></p>'
        "<table><tr><th></th><th>path</th><th>who</th><th>takes</th><th></th></tr>" + rows + "</table></body></html>"
    )


def _fields(route: ApiRoute) -> str:
    names: list[str] = []
    for kind in (route.body, route.query):
        if kind is not None and attrs.has(kind):
            for field in attrs.fields(kind):
                names.append(camel(field.name) + ("" if field.default is attrs.NOTHING else "?"))
    return ", ".join(names)
