"""POST with Idempotency-Key."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio
from web_site import Site

from dorami_core.base.errors import DoramiError
from dorami_core.store.postgres import PostgresDatabase
from dorami_core.testing.clock import move_database_clock
from dorami_core.web import idempotency
from dorami_core.web.idempotency import IdempotencyStore

THING = {"title": "a", "unitCount": 1}
KEY = {"Idempotency-Key": "k-1"}


async def test_the_same_body_gets_the_same_answer(site: Site) -> None:
    async with site.signed_in() as client:
        first = await client.post("/api/things", json=THING, headers=KEY)
        again = await client.post(
            "/api/things",
            content=b'{"unitCount": 1,\n "title":"a"}',
            headers={**KEY, "Content-Type": "application/json"},
        )
        assert (again.status_code, again.content) == (201, first.content)
        assert site.things.calls == 1
        other_key = await client.post("/api/things", json=THING, headers={"Idempotency-Key": "k-2"})
        assert other_key.json()["data"]["call"] == 2


async def test_another_body_is_a_conflict(site: Site) -> None:
    async with site.signed_in() as client:
        await client.post("/api/things", json=THING, headers=KEY)
        answer = await client.post("/api/things", json={**THING, "unitCount": 2}, headers=KEY)
    assert (answer.status_code, answer.json()["errorCode"]) == (409, "CONFLICT")
    assert "retry-after" not in answer.headers


async def test_keys_belong_to_a_person_and_a_path(site: Site) -> None:
    async with site.signed_in() as client, site.signed_in("other@example.com") as other:
        await client.post("/api/things", json=THING, headers=KEY)
        assert (await other.post("/api/things", json=THING, headers=KEY)).json()["data"]["call"] == 2
        assert (await client.post("/api/refuse/CONFLICT", headers=KEY)).json()["details"] == {"left": 3}


async def test_a_refusal_is_remembered_but_not_one_worth_trying_again(site: Site) -> None:
    async with site.signed_in() as client:
        first = await client.post("/api/refuse/CONFLICT", headers=KEY)
        again = await client.post("/api/refuse/CONFLICT", headers=KEY)
        assert first.content == again.content
        assert site.things.calls == 1
        for _ in range(2):
            assert (await client.post("/api/refuse/RATE_LIMITED", headers=KEY)).status_code == 429
        assert site.things.calls == 3


async def test_a_second_request_while_the_first_runs(site: Site) -> None:
    answers: list[httpx.Response] = []
    async with site.signed_in() as client:

        async def first() -> None:
            answers.append(await client.post("/api/slow", headers=KEY))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(first)
            await site.things.entered.wait()
            second = await client.post("/api/slow", headers=KEY)
            assert (second.status_code, second.json()["details"]["reason"]) == (409, "in_progress")
            assert second.headers["retry-after"] == "1"
            site.things.go_on.set()
        assert answers[0].status_code == 200
        assert (await client.post("/api/slow", headers=KEY)).content == answers[0].content


async def test_a_client_that_goes_away_finds_its_answer(site: Site, database: PostgresDatabase) -> None:
    async with site.signed_in() as client:
        async with trio.open_nursery() as nursery:

            async def impatient() -> None:
                await client.post("/api/slow", headers=KEY)

            nursery.start_soon(impatient)
            await site.things.entered.wait()
            nursery.cancel_scope.cancel()
        site.things.go_on.set()
        with trio.fail_after(60):
            await site.things.finished.wait()
            while await database.fetchval("SELECT status FROM core.idempotency") is None:
                await trio.lowlevel.checkpoint()
        answer = await client.post("/api/slow", headers=KEY)
    assert (answer.status_code, answer.json()["data"]) == (200, {"call": 1})


async def test_what_took_all_its_time_is_kept_nevertheless(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_s, remember = 0.3, IdempotencyStore.remember

    async def remember_late(*arguments: Any) -> None:
        await trio.sleep(limit_s)  # beyond the handler's limit
        await remember(*arguments)

    monkeypatch.setattr(idempotency, "HANDLER_LIMIT_S", limit_s)
    monkeypatch.setattr(IdempotencyStore, "remember", remember_late)
    async with site.signed_in() as client:
        first = await client.post("/api/things", json=THING, headers=KEY)
        again = await client.post("/api/things", json=THING, headers=KEY)
    assert (first.status_code, again.content) == (201, first.content)
    assert site.things.calls == 1


async def test_it_is_forgotten_after_a_day_and_a_dead_claim_after_a_minute(
    site: Site, database: PostgresDatabase
) -> None:
    async with site.signed_in() as client:
        await client.post("/api/things", json=THING, headers=KEY)
        await move_database_clock(database, 24 * 3600 - 60)
        assert (await client.post("/api/things", json=THING, headers=KEY)).json()["data"]["call"] == 1
        await move_database_clock(database, 120)
        assert (await client.post("/api/things", json=THING, headers=KEY)).json()["data"]["call"] == 2
        await database.execute("UPDATE core.idempotency SET status = NULL, body = NULL")
        assert (await client.post("/api/things", json=THING, headers=KEY)).json()["details"]["reason"] == "in_progress"
        await move_database_clock(database, 61)
        assert (await client.post("/api/things", json=THING, headers=KEY)).json()["data"]["call"] == 3


async def test_a_bad_key(site: Site) -> None:
    async with site.signed_in() as client:
        answer = await client.post("/api/things", json=THING, headers={"Idempotency-Key": "x" * 201})
    assert answer.json()["details"]["fields"][0]["field"] == "Idempotency-Key"


@pytest.mark.parametrize("path", ["/api/things", "/api/refuse/UNAVAILABLE"])
async def test_what_the_database_could_not_be_told_it_is_told_later(
    site: Site, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """An answer is remembered, and a key freed, by the next request and not after a minute."""
    execute = PostgresDatabase.execute

    async def gone(self: PostgresDatabase, sql: str, *arguments: Any) -> str:
        if "core.idempotency" in sql:
            monkeypatch.setattr(PostgresDatabase, "execute", execute)
            raise DoramiError("UNAVAILABLE")
        return await execute(self, sql, *arguments)

    was_done = path == "/api/things"
    async with site.signed_in() as client:
        monkeypatch.setattr(PostgresDatabase, "execute", gone)
        first, again = [await client.post(path, json=THING if was_done else None, headers=KEY) for _ in range(2)]
    assert first.status_code == 503
    assert again.status_code == (201 if was_done else 503)
    assert site.things.calls == (1 if was_done else 2)
