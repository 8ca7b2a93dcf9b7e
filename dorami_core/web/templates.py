"""Pages: the packages' Jinja templates with their messages and static files."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from dorami_core.base.errors import Lang
from dorami_core.hooks.http import Templates
from dorami_core.web.messages import load_messages
from dorami_core.web.static import StaticFiles

ERROR_TEMPLATE = "error.html"


def package_folder(package: str) -> Path:
    """Where a package lies; ValueError where there is none of that name."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"{package} is no package")
    return Path(next(iter(spec.submodule_search_locations)))


class Pages:
    """Renders `<package>/<file>`; escapes what it inserts. MessagesError at once where a language lacks a key."""

    def __init__(self, templates: Sequence[Templates]) -> None:
        folders = {entry.package: package_folder(entry.package) for entry in templates}
        self.static = StaticFiles({entry.package: folders[entry.package] / entry.static for entry in templates})
        self.messages = load_messages(folders[entry.package] / entry.messages for entry in templates)
        loaders = {
            entry.package: jinja2.FileSystemLoader(folders[entry.package] / entry.templates) for entry in templates
        }
        self._environment = jinja2.Environment(
            loader=jinja2.PrefixLoader(loaders),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._error_template = next(
            (
                f"{entry.package}/{ERROR_TEMPLATE}"
                for entry in templates
                if (folders[entry.package] / entry.templates / ERROR_TEMPLATE).is_file()
            ),
            None,
        )

    @property
    def error_template(self) -> str | None:
        """The first package's `error.html`; it gets `code`, `sentence`, `status`, `details`."""
        return self._error_template

    def render(self, template: str, lang: Lang, context: Mapping[str, Any]) -> str:
        """The page; `t`, `lang` and `url_for_static` are added unless `context` has its own."""
        own: dict[str, Any] = {
            "t": self.messages.translator(lang),
            "lang": lang,
            "url_for_static": self.static_url,
        }
        return self._environment.get_template(template).render({**own, **context})

    @property
    def static_url(self) -> Callable[[str, str], str]:
        return self.static.url
