"""A commit in one process is heard by the deliverer in another, long before it would look by itself."""

from __future__ import annotations

import pytest
import trio
from test_outbox import opened, pack

from dorami_core.events import outbox as module
from dorami_core.events.outbox import OutboxBell

FOR_EVER_S = 3600.0


async def test_the_deliverer_hears_what_another_process_wrote(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", FOR_EVER_S)  # whoever only looks finds nothing
    async with opened(database_url) as (_, deliverer, heard, _), opened(database_url) as (other, waiting, silent, _):
        bell = OutboxBell(other)
        waiting._ring = bell.ring
        other.after_commit.append(waiting.poke)
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(deliverer.run)
                while not deliverer.statistics().is_caught_up:
                    await trio.sleep(0)
                nursery.start_soon(bell.run)
                for number in range(1, 4):
                    await pack(other, ("red", number))
                    while deliverer.statistics().delivered < 2 * number or not deliverer.statistics().is_caught_up:
                        await trio.sleep(0)
                nursery.cancel_scope.cancel()
        assert [number for name, _, number in heard if name == "a"] == [1, 2, 3]
        assert silent == []


async def test_a_bell_nobody_can_hear_is_rung_again_later(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(database_url) as (db, _, _, _):
        rung: list[str] = []
        lost = [True]

        async def execute(sql: str, *_: object) -> str:
            rung.append(sql)
            if lost.pop():
                lost.append(False)
                raise module.DoramiError("UNAVAILABLE")
            done.set()
            return ""

        done = trio.Event()
        monkeypatch.setattr(db, "execute", execute)
        bell = OutboxBell(db)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bell.run)
            bell.ring()
            while not rung:
                await trio.sleep(0)
            bell.ring()
            bell.ring()
            await done.wait()
            nursery.cancel_scope.cancel()
        assert len(rung) == 2
