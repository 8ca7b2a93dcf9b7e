from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dorami_core.base.environment import read_environment
from dorami_core.base.errors import DoramiError, ErrorCatalogue, ErrorCode
from dorami_core.base.ids import is_stream_key, new_stream_key
from dorami_core.base.logging import redact
from dorami_core.base.money import Money
from dorami_core.base.principal import Access, Principal, UserIdentity
from dorami_core.base.settings import CORE_SECTIONS, ChatSettings, SettingsError, WebSettings, load_settings
from dorami_core.base.structure import from_json, to_json
from dorami_core.base.supervision import Backoff

USER = UserIdentity(id=UUID(int=1), role="USER", display_name="minji")  # type: ignore[arg-type]


@attrs.frozen
class Line:
    product_id: UUID
    quantity: int
    color: str | None = None


@attrs.frozen
class Basket:
    lines: list[Line]
    at: datetime


# Money


@given(st.integers(0, 10**12), st.sampled_from(["USD", "KRW"]))
def test_money_survives_its_decimal_string(minor: int, currency: str) -> None:
    assert Money.parse(str(Money(minor, currency)), currency) == Money(minor, currency)


@pytest.mark.parametrize("text", ["", "-1", "1.234", "1e3", " 1", "1.", ".5", "9" * 14, "١"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"amount|large"):
        Money.parse(text, "USD")


def test_won_have_no_decimals() -> None:
    with pytest.raises(ValueError, match="amount"):
        Money.parse("1.5", "KRW")


@pytest.mark.parametrize(
    ("minor", "percent", "left"), [(999, 10, 899), (5, 50, 3), (1, 50, 1), (100, 0, 100), (100, 100, 0)]
)
def test_discount_rounds_half_up(minor: int, percent: int, left: int) -> None:
    assert Money(minor, "USD").discounted(percent) == Money(left, "USD")


def test_two_currencies_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="do not add up"):
        Money(1, "USD") + Money(1, "KRW")


# The border


def test_json_comes_and_goes_in_camel_case() -> None:
    data = {"lines": [{"productId": str(UUID(int=7)), "quantity": 2, "color": None}], "at": "2026-11-23T10:00:00.000Z"}
    basket = from_json(data, Basket)
    assert basket == Basket([Line(UUID(int=7), 2)], datetime(2026, 11, 23, 10, tzinfo=UTC))
    assert to_json(basket) == data


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"quantity": 1}, "productId"),
        ({"productId": str(UUID(int=7)), "quantity": "1"}, "quantity"),
        ({"productId": str(UUID(int=7)), "quantity": True}, "quantity"),
        ({"productId": str(UUID(int=7)), "quantity": 1.0}, "quantity"),
        ({"productId": "7", "quantity": 1}, "productId"),
        ({"productId": str(UUID(int=7)), "quantity": 1, "color": "\x00"}, "color"),
        ({"productId": str(UUID(int=7)), "quantity": 1, "colour": "red"}, "$"),
        ([], "$"),
        (None, "$"),
    ],
)
def test_bad_input_names_its_field(data: Any, field: str) -> None:
    with pytest.raises(DoramiError) as refused:
        from_json(data, Line)
    assert refused.value.code == "VALIDATION_FAILED"
    assert field in [problem["field"] for problem in refused.value.details["fields"]]


def test_a_time_needs_its_offset() -> None:
    with pytest.raises(DoramiError) as refused:
        from_json({"lines": [], "at": "2026-11-23T10:00:00"}, Basket)
    assert refused.value.details["fields"][0]["field"] == "at"


# Errors, ids, principals


def test_one_code_has_one_meaning() -> None:
    catalogue = ErrorCatalogue()
    row = ErrorCode("CART_EMPTY", 409, "비어 있어요.", "It is empty.")
    catalogue.add([row, row])
    assert catalogue.sentence("CART_EMPTY", "ko") == "비어 있어요."
    with pytest.raises(ValueError, match="CART_EMPTY"):
        catalogue.add([attrs.evolve(row, http_status=410)])
    assert catalogue["NEVER_HEARD_OF"].code == "INTERNAL_ERROR"


def test_stream_keys() -> None:
    assert is_stream_key(new_stream_key())
    assert not any(map(is_stream_key, ("abc", "ABCD", "a" * 65, "ab_cd", "abcd\n")))


def test_access() -> None:
    guest, user = Principal(guest_id="x"), Principal(user=USER)  # type: ignore[arg-type]
    guest.require(Access.PUBLIC)
    user.require(Access.USER)
    with pytest.raises(DoramiError, match="UNAUTHORIZED"):
        guest.require(Access.USER)
    with pytest.raises(DoramiError, match="FORBIDDEN"):
        user.require(Access.ADMIN)
    assert (guest.viewer_id, user.viewer_id) == ("g:x", f"u:{USER.id}")


# Settings and logs


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "dorami.toml"
    file.write_text("[chat]\nrate_count = 5\nrate_window_s = 3\n", "utf-8")
    environ = {"DORAMI_CHAT__RATE_COUNT": "7", "DORAMI_WEB__HOSTS": '["shop.example"]', "OTHER": "x"}
    settings = load_settings(file, environ, CORE_SECTIONS)
    assert settings.section(ChatSettings) == ChatSettings(rate_count=7, rate_window_s=3.0)
    assert settings.section(WebSettings).hosts == ["shop.example"]


@pytest.mark.parametrize(
    ("content", "environ", "named"),
    [
        ("[chat]\nrate_cuont = 5\n", {}, "chat.rate_cuont"),
        ("[shat]\nrate_count = 5\n", {}, "[shat]"),
        ("[chat]\nrate_count = '5'\n", {}, "chat.rate_count must be a whole number"),
        ("[chat]\nrate_count = 0\n", {}, "chat.rate_count: must be above 0"),
        ("[shop]\ncurrency = 'EURO'\n", {}, "shop.currency"),
        ("chat = 3\n", {}, "chat must be a section"),
        ("[chat\n", {}, "dorami.toml"),
        ("", {"DORAMI_CHAT__RATE": "5"}, "DORAMI_CHAT__RATE"),
        ("", {"DORAMI_CHAT__RATE_COUNT": "many"}, "DORAMI_CHAT__RATE_COUNT"),
        ("", {"DORAMI_CHAT__RATE_COUNT": "-1"}, "DORAMI_CHAT__RATE_COUNT"),
        ("", {"DORAMI_WEB__HOSTS": "[1]"}, "web.hosts"),
        ("[web]\ntrusted_proxies = ['proxy']\n", {}, "web.trusted_proxies: must be addresses or networks"),
        ("[limits]\nexempt_addresses = ['10.0.0.0/64']\n", {}, "limits.exempt_addresses"),
        ("[shop]\ntimezone = 'Seoul'\n", {}, "shop.timezone: must be a time zone"),
    ],
)
def test_a_wrong_setting_is_named(content: str, environ: dict[str, str], named: str, tmp_path: Path) -> None:
    file = tmp_path / "dorami.toml"
    file.write_text(content, "utf-8")
    with pytest.raises(SettingsError) as refused:
        load_settings(file, environ, CORE_SECTIONS)
    assert named in str(refused.value)


def test_origins_are_kept_as_browsers_write_them() -> None:
    environ = {"CORS_ORIGINS": "https://Partner.example/, http://localhost:3000"}
    environment = read_environment(environ, lambda _, make: make())
    assert environment.cors_origins == ("https://partner.example", "http://localhost:3000")


def test_secrets_do_not_reach_the_logs() -> None:
    assert redact("rtmp://h/live/abc?secret=s3cr3t&x=1") == "rtmp://h/live/abc?secret=***&x=1"
    assert redact("redis://:s3cr3t@h:6379/0 and seller@h") == "redis://:***@h:6379/0 and seller@h"


def test_pauses_double_and_begin_anew_after_a_good_run() -> None:
    backoff = Backoff(0.5, 3, steady_s=60)
    assert [backoff.pause_s() for _ in range(5)] == [0.5, 1, 2, 3, 3]
    assert [backoff.pause_s(60), backoff.pause_s(61), backoff.pause_s()] == [3, 0.5, 1]
    backoff.reset()
    assert backoff.pause_s() == 0.5
    assert max(backoff.pause_s() for _ in range(2000)) == 3
