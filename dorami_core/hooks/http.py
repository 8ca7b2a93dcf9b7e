"""What a plugin may do with HTTP: routes under /api, and pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import attrs

from dorami_core.base.errors import DoramiError, Lang
from dorami_core.base.principal import Access, Principal, UserIdentity


@attrs.frozen
class Request:
    """One HTTP request, after authentication, CSRF and validation."""

    method: str
    path: str
    principal: Principal
    path_params: Mapping[str, str]
    args: Mapping[str, str]
    """The query string, last value of each name."""
    headers: Mapping[str, str]
    """Lower-case names."""
    cookies: Mapping[str, str]
    lang: Lang
    base_url: str
    """Scheme and host as the client named them, without a slash at the end."""
    peer: str
    """The client's IP address."""
    csrf_token: str
    """For the hidden field of a form."""

    @property
    def user(self) -> UserIdentity:
        """The signed-in user; UNAUTHORIZED for a guest."""
        if self.principal.user is None:
            raise DoramiError("UNAUTHORIZED")
        return self.principal.user

    def uuid(self, name: str, not_found: str) -> UUID:
        """A path parameter as UUID; anything else raises the given code: an id that cannot exist does not."""
        try:
            return UUID(self.path_params[name])
        except ValueError:
            raise DoramiError(not_found) from None


@attrs.frozen
class Page:
    """A template to render. `context` is joined by `request`, `t` (messages), `lang`, `url_for_static`."""

    template: str
    context: Mapping[str, Any] = attrs.field(factory=dict)
    status: int = 200


@attrs.frozen
class Redirect:
    """303 to a path of this site."""

    location: str


@attrs.frozen
class FileAnswer:
    """A file as the answer of an API route, in place of JSON: with ranges (RFC 9110, 14), and never read as a whole.

    `download_as`: the browser saves it under this name. NOT_FOUND where the file is gone.
    """

    path: Path
    content_type: str
    download_as: str | None = None
    cache: str = "private, no-cache"


@attrs.frozen
class Paged:
    """One page of a list."""

    items: list[Any]
    next_cursor: str | None


Handler = Callable[..., Awaitable[Any]]
"""`async def handler(request)`, or `handler(request, body)` where a body, form or query class was named."""


class Router(Protocol):
    """Where routes are registered, at boot. Paths: `/api/products/{id}`."""

    def api(
        self,
        method: str,
        path: str,
        handler: Handler,
        *,
        access: Access = Access.USER,
        body: type | None = None,
        query: type | None = None,
        response: type | None = None,
        status: int = 200,
        summary: str = "",
    ) -> None:
        """A JSON route. What the handler returns (attrs, dict, list, None) becomes `data` of the envelope."""
        ...

    def page(
        self,
        method: str,
        path: str,
        handler: Handler,
        *,
        access: Access = Access.PUBLIC,
        form: type | None = None,
    ) -> None:
        """A page. The handler returns a Page or a Redirect. A guest at a USER page is sent to sign in; a form's
        fields arrive as strings, without `csrfToken`. A DoramiError is shown as an error page with its sentence."""
        ...


@attrs.frozen
class Templates:
    """A package's templates, static files and messages. Folders are relative to the package.

    Static files are served at /static/<package>/<path>; messages are TOML files `ko.toml` and `en.toml` whose keys
    `t("key", name=value)` looks up in templates.
    """

    package: str
    templates: str = "templates"
    static: str = "static"
    messages: str = "messages"
