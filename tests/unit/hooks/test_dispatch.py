from __future__ import annotations

from typing import Any

import pluggy
import pytest
import trio

from dorami_core.base.errors import DoramiError, ErrorCatalogue
from dorami_core.hooks import Plugin, hookimpl, hookspec
from dorami_core.hooks.dispatch import Dispatcher, HookTimeout
from dorami_core.hooks.loader import PluginError, in_order, make_manager


class Specs:
    @hookspec
    async def adjust_price(self, value: int, product: str) -> int: ...

    @hookspec
    async def validate_price(self, value: int) -> None: ...

    @hookspec
    async def choose_colour(self) -> str | None: ...

    @hookspec
    async def price_changed_in_tx(self, tx: Any, product: str) -> None: ...

    @hookspec
    async def on_price_changed(self, event: Any) -> None: ...


class First(Plugin):
    name = "first"

    def __init__(self) -> None:
        self.seen: list[str] = []

    @hookimpl
    def register_hookspecs(self) -> type:
        return Specs

    @hookimpl
    async def adjust_price(self, value: int) -> int:
        return value + 1

    @hookimpl
    async def validate_price(self, value: int) -> None:
        self.seen.append("first")

    @hookimpl
    async def choose_colour(self) -> str | None:
        return "pink"

    @hookimpl
    async def on_price_changed(self, event: Any) -> None:
        self.seen.append(event)


class Second(Plugin):
    name = "second"
    requires = ("first",)

    @hookimpl
    def adjust_price(self, value: int, product: str) -> int:
        return value * 10

    @hookimpl
    async def validate_price(self, value: int) -> None:
        if value < 0:
            raise DoramiError("VALIDATION_FAILED", field="price")

    @hookimpl
    async def choose_colour(self) -> str | None:
        return None

    @hookimpl
    async def price_changed_in_tx(self, tx: Any, product: str) -> None:
        raise RuntimeError("roll back")

    @hookimpl
    async def on_price_changed(self, event: Any) -> None:
        await trio.sleep_forever()


def make(time_limit_s: float = 5.0) -> tuple[Dispatcher, First]:
    first = First()
    return Dispatcher(make_manager([Second(), first]), time_limit_s=time_limit_s), first


async def test_values_pass_through_the_last_registered_first() -> None:
    dispatcher, _ = make()
    assert await dispatcher.filter("adjust_price", 2, product="bag") == 21


async def test_a_veto_stops_and_counts_as_no_error() -> None:
    dispatcher, first = make()
    with pytest.raises(DoramiError, match="VALIDATION_FAILED"):
        await dispatcher.authorize("validate_price", value=-1)
    assert first.seen == []
    await dispatcher.authorize("validate_price", value=1)
    assert first.seen == ["first"]
    assert {row.plugin: row.errors for row in dispatcher.statistics()} == {"first": 0, "second": 0}


async def test_the_first_answer_wins() -> None:
    dispatcher, _ = make()
    assert await dispatcher.choose("choose_colour") == "pink"


async def test_an_error_in_a_transaction_is_the_callers() -> None:
    dispatcher, _ = make()
    with pytest.raises(RuntimeError, match="roll back"):
        await dispatcher.in_tx("price_changed_in_tx", object(), product="bag")  # type: ignore[arg-type]
    assert next(row for row in dispatcher.statistics() if row.plugin == "second").errors == 1


async def test_a_slow_subscriber_is_cut_and_the_others_are_not_disturbed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    dispatcher, first = make(time_limit_s=1)
    with pytest.raises(HookTimeout):
        await dispatcher.deliver("second", "on_price_changed", event="a")
    await dispatcher.deliver("first", "on_price_changed", event="a")
    assert first.seen == ["a"]
    assert next(row for row in dispatcher.statistics() if row.plugin == "second").timeouts == 1


async def test_a_hook_that_takes_too_long_refuses_what_it_is_part_of(autojump_clock: trio.testing.MockClock) -> None:
    """Nothing was changed, and who asked may ask again."""

    class Slow(Plugin):
        name = "slow"

        @hookimpl
        async def validate_price(self, value: int) -> None:
            await trio.sleep_forever()

    dispatcher = Dispatcher(make_manager([First(), Slow()]), time_limit_s=1)
    with pytest.raises(DoramiError) as refused:
        await dispatcher.authorize("validate_price", value=1)
    assert (refused.value.code, refused.value.details) == ("PLUGIN_TIMEOUT", {"plugin": "slow"})
    assert refused.value.retry_after_ms
    row = ErrorCatalogue()["PLUGIN_TIMEOUT"]
    assert (row.http_status, row.retryable) == (503, True)


async def test_cancellation_passes_through_a_hook() -> None:
    dispatcher, _ = make()
    with trio.CancelScope() as scope:
        scope.cancel()
        await dispatcher.deliver("second", "on_price_changed", event="a")
    assert scope.cancelled_caught


async def test_the_phase_is_in_the_name() -> None:
    dispatcher, _ = make()
    with pytest.raises(ValueError, match="phase"):
        await dispatcher.choose("adjust_price")
    with pytest.raises(LookupError):
        await dispatcher.choose("choose_nothing")


# Loading


def named(plugin_name: str, *plugin_requires: str) -> Plugin:
    return type(plugin_name, (Plugin,), {"name": plugin_name, "requires": plugin_requires})()


def test_what_is_required_comes_first() -> None:
    plugins = [named("c", "b", "a"), named("b", "a"), named("a")]
    assert [plugin.name for plugin in in_order(plugins)] == ["a", "b", "c"]


@pytest.mark.parametrize("plugins", [[named("a", "b")], [named("a", "b"), named("b", "a")]])
def test_a_missing_plugin_and_a_circle_are_named(plugins: list[Plugin]) -> None:
    with pytest.raises(PluginError, match=r"a.*b"):
        in_order(plugins)


def test_a_hook_that_nobody_fires_is_refused() -> None:
    class Wrong(Plugin):
        name = "wrong"

        @hookimpl
        async def on_strem_started(self) -> None: ...

    with pytest.raises(PluginError, match="on_strem_started"):
        make_manager([Wrong()])


def test_a_wrong_argument_is_refused() -> None:
    class Wrong(Plugin):
        name = "wrong"

        @hookimpl
        async def on_stream_started(self, evnt: Any) -> None: ...

    with pytest.raises(PluginError, match="evnt"):
        make_manager([Wrong()])


def test_wrappers_are_refused() -> None:
    class Wrapper(Plugin):
        name = "wrapper"

        @pluggy.HookimplMarker("dorami")(wrapper=True)
        def on_stream_started(self) -> Any:
            return (yield)

    with pytest.raises(PluginError, match="wrapper"):
        make_manager([Wrapper()])
