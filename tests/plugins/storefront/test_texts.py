"""Korean and English say the same things, and nobody names a sentence or an icon that is not there."""

from __future__ import annotations

import re
import string
import tomllib
from pathlib import Path
from typing import get_args

import dorami_storefront
import pytest
from dorami_orders.api import OrderStatus, PaymentMethod, ShippingStatus
from dorami_points.api import EntryKind

from dorami_core.hooks.host import StreamStatus
from dorami_core.ingest.meter import Verdict
from dorami_core.restream.model import Platform, RunStatus

PACKAGE = Path(dorami_storefront.__file__).parent
TEXTS = {lang: tomllib.loads((PACKAGE / f"messages/{lang}.toml").read_text("utf-8")) for lang in ("ko", "en")}
TEMPLATES = sorted((PACKAGE / "templates").glob("*.html"))
SCRIPTS = [file for file in sorted((PACKAGE / "web/src").rglob("*.ts")) if not file.name.endswith(".test.ts")]
NAMED = re.compile(r'\bt\(\s*"([a-z0-9_]+)"\s*[,)]')
CHOSEN = re.compile(r'\bt\([^()"]*\? "([a-z0-9_]+)" : "([a-z0-9_]+)"')
BUILT = re.compile(r'\bt\("([a-z0-9_]+_)" ~|`([a-z0-9_]+_)\$\{')
TOLD_CAUSES = ("UNREACHABLE", "UNTRUSTED", "REFUSED", "LOST", "STALLED", "OVER_LIMIT", "WORKER")


SENTENCE = re.compile(r'return \["(js_[a-z0-9_]+)", \{')


def used(files: list[Path]) -> set[str]:
    text = "\n".join(file.read_text("utf-8") for file in files)
    return (
        set(NAMED.findall(text)) | set(SENTENCE.findall(text)) | {key for pair in CHOSEN.findall(text) for key in pair}
    )


def built() -> set[str]:
    """Keys that templates and scripts put together from a state."""
    states = {
        "status_": [*get_args(StreamStatus), *get_args(OrderStatus)],
        "order_head_": get_args(OrderStatus),
        "order_head_shipping_": get_args(ShippingStatus),
        "my_line_": get_args(ShippingStatus),
        "pay_": get_args(PaymentMethod),
        "points_": get_args(EntryKind),
        "shipping_": get_args(ShippingStatus),
        "region_": ["jeju", "islands"],
        "step_": ["pay", "check", "send", "arrive"],
        "js_platform_": get_args(Platform),
        "js_restream_": get_args(RunStatus),
        "js_cause_": TOLD_CAUSES,
        "js_signal_": get_args(Verdict),
        "js_signal_advice_": ["SLOW", "LONG_KEYFRAMES", "SILENT"],
        "js_signal_refused_": ["video", "audio"],
    }
    texts = [file.read_text("utf-8") for file in [*TEMPLATES, *SCRIPTS]]
    prefixes = {prefix for text in texts for pair in BUILT.findall(text) for prefix in pair if prefix}
    assert prefixes == set(states)
    keys = {prefix + state.lower() for prefix, all_states in states.items() for state in all_states}
    return keys | {f"step_{name}_hint" for name in states["step_"]}


def test_both_languages_have_the_same_keys_and_the_same_blanks() -> None:
    assert TEXTS["ko"].keys() == TEXTS["en"].keys()
    for key, korean in TEXTS["ko"].items():
        blanks = [
            {name for _, name, _, _ in string.Formatter().parse(text) if name} for text in (korean, TEXTS["en"][key])
        ]
        assert blanks[0] == blanks[1], key
        assert TEXTS["en"][key].strip(), key


def test_templates_and_scripts_use_only_keys_that_exist() -> None:
    missing = (used([*TEMPLATES, *SCRIPTS]) | built()) - TEXTS["ko"].keys()
    assert missing == set()


def test_scripts_use_only_keys_that_they_are_given() -> None:
    assert {key for key in used(SCRIPTS) if not key.startswith("js_")} == set()


def test_no_sentence_is_without_use() -> None:
    known = used([*TEMPLATES, *SCRIPTS]) | built()
    assert {key for key in TEXTS["ko"] if key not in known and not key.startswith("problem_")} == set()


def test_scripts_name_only_icons_of_the_sprite() -> None:
    icons = set(re.findall(r'^  "([a-z0-9-]+)",$', (PACKAGE / "web/icons.ts").read_text("utf-8"), re.M))
    text = "\n".join(file.read_text("utf-8") for file in [*TEMPLATES, *SCRIPTS])
    named = set(re.findall(r'\bicon\("([a-z0-9-]+)"', text))
    assert named
    assert named <= icons


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_scripts_never_set_markup(file: Path) -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", file.read_text("utf-8"))
