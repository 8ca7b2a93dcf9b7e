"""Statistics as Prometheus text."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
from prometheus_client import generate_latest

from dorami_core.base.metrics import make_registry


@attrs.frozen
class Parts:
    name: str
    open: int
    reasons: Mapping[str, int]
    note: str = "no number"


def exposition(source: object) -> list[str]:
    text = generate_latest(make_registry({"part": lambda: source})).decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_numbers_and_mappings_of_numbers_are_told() -> None:
    assert exposition(Parts("one", 3, {"slow": 2, "banned": 1})) == [
        "dorami_part_open 3.0",
        'dorami_part_reasons{key="slow"} 2.0',
        'dorami_part_reasons{key="banned"} 1.0',
    ]


def test_rows_keep_their_name_beside_the_key() -> None:
    assert exposition([Parts("one", 3, {"slow": 2}), Parts("two", 4, {})]) == [
        'dorami_part_open{name="one"} 3.0',
        'dorami_part_open{name="two"} 4.0',
        'dorami_part_reasons{key="slow",name="one"} 2.0',
    ]
