"""Calls hooks one implementation after another, isolated, timed and counted.

pluggy's own `pm.hook.x()` is never used for what may be async: when one implementation raises it drops the
coroutines of the others. This walks `get_hookimpls()` and awaits one by one.
"""

from __future__ import annotations

import inspect
import time
from collections import defaultdict
from typing import Any, TypeVar

import attrs
import pluggy
import structlog
import trio
from pluggy import HookImpl

from dorami_core.base.errors import DoramiError
from dorami_core.hooks.transactions import Tx

T = TypeVar("T")
log = structlog.get_logger()

VETO_PREFIXES = ("authorize_", "validate_")
FILTER_PREFIXES = ("adjust_", "filter_")
CHOOSE_PREFIX = "choose_"
EVENT_PREFIX = "on_"
TX_SUFFIX = "_in_tx"
REGISTER_PREFIX = "register_"
RETRY_AFTER_MS = 1000


@attrs.frozen
class PluginStatistics:
    """Calls, errors, time-outs and seconds spent in one plugin's hooks."""

    plugin: str
    calls: int
    errors: int
    timeouts: int
    seconds: float


@attrs.define
class _Count:
    calls: int = 0
    errors: int = 0
    timeouts: int = 0
    seconds: float = 0.0


class HookTimeout(DoramiError):
    """An implementation took longer than its hook may: PLUGIN_TIMEOUT. What it was part of is refused and can be asked
    again."""

    def __init__(self, plugin: str) -> None:
        super().__init__("PLUGIN_TIMEOUT", retry_after_ms=RETRY_AFTER_MS, plugin=plugin)


class Dispatcher:
    """The one caller of hooks; implements `HookCaller`.

    `time_limit_s` bounds each implementation. Order is pluggy's: last registered first, `tryfirst` and `trylast`
    obeyed. `register_*` hooks are called in the opposite order, so that what is required comes first.
    """

    def __init__(self, manager: pluggy.PluginManager, *, time_limit_s: float = 5.0) -> None:
        self._manager = manager
        self._time_limit_s = time_limit_s
        self._counts: dict[str, _Count] = defaultdict(_Count)

    def statistics(self) -> tuple[PluginStatistics, ...]:
        return tuple(
            PluginStatistics(name, count.calls, count.errors, count.timeouts, count.seconds)
            for name, count in sorted(self._counts.items())
        )

    def subscribers(self, hook: str) -> list[str]:
        """Names of the plugins that implement the hook, in the order in which they are called."""
        return [impl.plugin_name for impl in self._impls(hook)]

    def register(self, hook: str, /, **facts: Any) -> list[tuple[str, Any]]:
        """Calls a `register_*` hook everywhere, at boot; an error stops the start. Answers by plugin name."""
        self._expect(hook, hook.startswith(REGISTER_PREFIX))
        return [(impl.plugin_name, _call(impl, facts)) for impl in reversed(self._impls(hook))]

    def register_one(self, plugin: str, hook: str, /, **facts: Any) -> Any:
        """The same for a single plugin; None where it has no such hook."""
        self._expect(hook, hook.startswith(REGISTER_PREFIX))
        for impl in self._impls(hook):
            if impl.plugin_name == plugin:
                return _call(impl, facts)
        return None

    async def authorize(self, hook: str, /, **facts: Any) -> None:
        self._expect(hook, hook.startswith(VETO_PREFIXES))
        for impl in self._impls(hook):
            await self._run(impl, facts)

    async def filter(self, hook: str, value: T, /, **facts: Any) -> T:
        self._expect(hook, hook.startswith(FILTER_PREFIXES))
        for impl in self._impls(hook):
            value = await self._run(impl, {"value": value, **facts})
        return value

    async def choose(self, hook: str, /, **facts: Any) -> Any:
        self._expect(hook, hook.startswith(CHOOSE_PREFIX))
        for impl in self._impls(hook):
            answer = await self._run(impl, facts)
            if answer is not None:
                return answer
        return None

    async def in_tx(self, hook: str, tx: Tx, /, **facts: Any) -> None:
        self._expect(hook, hook.endswith(TX_SUFFIX))
        for impl in self._impls(hook):
            await self._run(impl, {"tx": tx, **facts})

    async def deliver(self, subscriber: str, hook: str, /, **facts: Any) -> None:
        """An `on_*` hook of one plugin; its error, or HookTimeout, is the caller's to keep."""
        self._expect(hook, hook.startswith(EVENT_PREFIX))
        for impl in self._impls(hook):
            if impl.plugin_name == subscriber:
                await self._run(impl, facts)

    def _expect(self, hook: str, fits: bool) -> None:
        if not fits:
            raise ValueError(f"hook {hook} is called in a phase that its name does not say")

    def _impls(self, hook: str) -> list[HookImpl]:
        caller = getattr(self._manager.hook, hook, None)
        if caller is None or not caller.has_spec():
            raise LookupError(f"there is no hook {hook}")
        return list(reversed(caller.get_hookimpls()))

    async def _run(self, impl: HookImpl, facts: dict[str, Any]) -> Any:
        count = self._counts[impl.plugin_name]
        count.calls += 1
        started = time.perf_counter()
        try:
            answer = _call(impl, facts)
            if not inspect.isawaitable(answer):
                return answer
            with trio.move_on_after(self._time_limit_s) as scope:
                return await answer
        except DoramiError:
            raise
        except Exception:
            count.errors += 1
            raise
        finally:
            count.seconds += time.perf_counter() - started
        assert scope.cancelled_caught
        count.timeouts += 1
        log.error("hook.timeout", plugin=impl.plugin_name, hook=impl.function.__name__, limit_s=self._time_limit_s)
        raise HookTimeout(impl.plugin_name)


def _call(impl: HookImpl, facts: dict[str, Any]) -> Any:
    """pluggy's own rule: an implementation names the facts that it wants."""
    return impl.function(*(facts[name] for name in impl.argnames))
