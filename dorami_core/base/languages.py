"""Which language a request is answered in: `?lang=`, else the cookie, else Accept-Language, else Korean."""

from __future__ import annotations

from collections.abc import Mapping

from dorami_core.base.errors import Lang

COOKIE = "lang"


def known(text: str | None) -> Lang | None:
    return "ko" if text == "ko" else "en" if text == "en" else None


def choose(args: Mapping[str, str], cookies: Mapping[str, str], accept_language: str) -> Lang:
    return known(args.get("lang")) or known(cookies.get(COOKIE)) or _accepted(accept_language[:200]) or "ko"


def _accepted(header: str) -> Lang | None:
    """The known language with the greatest weight, the first of equals (RFC 9110, 12.5.4)."""
    best: Lang | None = None
    best_weight = 0.0
    for part in header.split(","):
        tag, _, parameter = part.strip().partition(";")
        lang = known(tag.strip().partition("-")[0].lower())
        try:
            weight = float(parameter.strip().removeprefix("q=")) if parameter else 1.0
        except ValueError:
            continue
        if lang is not None and weight > best_weight:
            best, best_weight = lang, weight
    return best
