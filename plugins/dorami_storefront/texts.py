"""The sentences that scripts need: those keys of the message files that begin with `js_`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import attrs

from dorami_core.hooks import Lang


@attrs.frozen
class Texts:
    """All messages by language; templates look them up by `t`, scripts get theirs with the page."""

    by_lang: Mapping[str, Mapping[str, str]]

    @classmethod
    def load(cls, folder: Path) -> Texts:
        return cls(
            {lang: tomllib.loads((folder / f"{lang}.toml").read_text(encoding="utf-8")) for lang in ("ko", "en")}
        )

    def for_scripts(self, lang: Lang) -> dict[str, str]:
        return {key: text for key, text in self.by_lang[lang].items() if key.startswith("js_")}

    def knows(self, key: str) -> bool:
        return key in self.by_lang["ko"]
