"""Sentences of the pages, in Korean and English: `ko.toml` and `en.toml` of each package."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import structlog

from dorami_core.base.errors import Lang

log = structlog.get_logger()

LANGS: tuple[Lang, ...] = ("ko", "en")


class MessagesError(Exception):
    """A language lacks a key that the other has, or a file is no flat or nested table of strings."""


class Messages:
    """All messages by language and key; nested tables join their names with dots. Later packages override."""

    def __init__(self, texts: Mapping[Lang, Mapping[str, str]]) -> None:
        self._texts = texts

    def translator(self, lang: Lang) -> Callable[..., str]:
        """`t("key", name=value)`; a key that nobody has is logged and shown as it is."""
        texts = self._texts[lang]

        def t(key: str, /, **values: Any) -> str:
            text = texts.get(key)
            if text is None:
                log.error("web.message_missing", key=key)
                return key
            return text.format_map(values) if values else text

        return t


def load_messages(folders: Iterable[Path]) -> Messages:
    """Reads every folder that exists. MessagesError names file and key."""
    merged: dict[Lang, dict[str, str]] = {lang: {} for lang in LANGS}
    for folder in folders:
        if not folder.is_dir():
            continue
        found = {lang: _read(folder / f"{lang}.toml") for lang in LANGS}
        for lang, other in (("ko", "en"), ("en", "ko")):
            missing = sorted(found[_lang(other)].keys() - found[_lang(lang)].keys())
            if missing:
                raise MessagesError(f"{folder / f'{lang}.toml'}: {missing[0]} is missing, {other}.toml has it")
        for lang in LANGS:
            merged[lang].update(found[lang])
    return Messages(merged)


def _lang(text: str) -> Lang:
    return "ko" if text == "ko" else "en"


def _read(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    try:
        return dict(_flatten(tomllib.loads(file.read_text("utf-8")), ""))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError) as error:
        raise MessagesError(f"{file}: {error}") from error


def _flatten(table: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        elif isinstance(value, str):
            yield f"{prefix}{key}", value
        else:
            raise TypeError(f"{prefix}{key} is no string")
