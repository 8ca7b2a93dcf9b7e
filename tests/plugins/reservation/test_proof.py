"""The ledger of a show: what a real sale writes holds, and thirty kinds of tampering are flagged by both verifiers."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import dorami_catalog
import pytest
from dorami_catalog.model import VariantInput
from dorami_catalog.verify import entry_hash, verify

from dorami_core.cli import main
from dorami_core.testing.node import node

SEQ, AT, TX, KIND, VARIANT, QUANTITY, NUMBER, PARTIAL, ON_HAND, HELD, COMMITTED, WAITING, RULE, HASH = range(14)
Show = dict[str, Any]


async def sell(shop: Any) -> Show:
    """One product with everything that can happen to it, and one in sizes; the export of it."""
    product, buyer = await shop.product(3), shop.user()
    await shop.add(buyer, product, 2)
    holder = shop.user()
    await shop.add(holder, product)
    first, second, third = shop.user(), shop.user(), shop.user()
    await shop.wait(first, product, 2)
    leaving = await shop.wait(second, product, 1)
    await shop.wait(third, product, 3, accept_partial=False)
    await shop.queue.leave(second.id, leaving.id)
    await shop.give_back(holder)
    order = await shop.order(buyer)
    await shop.orders.cancel(buyer, order.id)
    await shop.order(first)
    await shop.patch(product, status="SOLD_OUT")
    await shop.patch(product, quantity=6)
    await shop.patch(product, status="AVAILABLE")
    paid = await shop.order(third)
    await shop.orders.confirm_payment(paid.id)
    await shop.orders.set_shipping(paid.id, "SHIPPED")
    late = shop.user()
    await shop.add(late, product)
    unpaid = await shop.order(late)
    await shop.pass_time(3601)
    await shop.bench.fire_deadlines()
    await shop.orders.confirm_payment(unpaid.id)
    sizes = await shop.product_in_sizes(S=1, M=0)
    await shop.add(shop.user(), sizes, size="S")
    await shop.wait(shop.user(), sizes, size="M")
    await shop.patch(sizes, variants=[VariantInput(size="S", quantity=2)])
    await shop.catalog.delete(sizes.id)
    show: Show = await shop.catalog.export_show("live-show")
    return show


def entries(show: Show, product: int = 0) -> list[list[Any]]:
    found: list[list[Any]] = show["products"][product]["entries"]
    return found


def of_kind(show: Show, kind: str, product: int = 0, nth: int = 0) -> list[Any]:
    return [entry for entry in entries(show, product) if entry[KIND] == kind][nth]


def rechain(show: Show) -> None:
    """What somebody does who can write the whole file: numbers and hashes fit again."""
    for product in show["products"]:
        last = "00" * 32
        for number, entry in enumerate(product["entries"], start=1):
            entry[SEQ] = number
            last = entry[HASH] = entry_hash(last, product["id"], entry)
        product["head"] = last


def set_(kind: str, field: int, value: Any, product: int = 0) -> Callable[[Show], None]:
    def change(show: Show) -> None:
        entry = of_kind(show, kind, product)
        entry[field] = value(entry[field]) if callable(value) else value

    return change


def drop(kind: str, product: int = 0) -> Callable[[Show], None]:
    return lambda show: entries(show, product).remove(of_kind(show, kind, product))


def double(kind: str) -> Callable[[Show], None]:
    def change(show: Show) -> None:
        entry = of_kind(show, kind)
        entries(show).insert(entry[SEQ], list(entry))

    return change


def swap_numbers(show: Show) -> None:
    """Somebody gave the unit to the third in line and wrote the first one's number out of the file."""
    served = of_kind(show, "PROMOTE")
    served[NUMBER] = 3


def swap(show: Show) -> None:
    found = entries(show)
    found[1], found[2] = found[2], found[1]


def cut_tail(show: Show) -> None:
    del entries(show)[-3:]


def cut_and_seal(show: Show) -> None:
    cut_tail(show)
    show["products"][0]["head"] = entries(show)[-1][HASH]


def drop_product(show: Show) -> None:
    del show["products"][1]


def other_product(show: Show) -> None:
    first, second = show["products"]
    first["id"], second["id"] = second["id"], first["id"]


def twice(show: Show) -> None:
    show["products"].append(copy.deepcopy(show["products"][0]))


def insider(show: Show) -> None:
    """Units taken by a stranger while others waited, with counters that add up."""
    found = entries(show)
    wait = of_kind(show, "WAIT", nth=1)
    taken = list(wait)
    taken[KIND], taken[QUANTITY], taken[NUMBER], taken[PARTIAL] = "HOLD", 1, None, None
    found.insert(wait[SEQ], taken)
    shift(found[wait[SEQ] :], HELD, 1)


def shift(rest: list[list[Any]], field: int, by: int) -> None:
    for entry in rest:
        entry[field] += by


def oversell(show: Show) -> None:
    """One unit more sold than there was, with counters that add up."""
    hold = of_kind(show, "HOLD")
    hold[QUANTITY] += 5
    shift([entry for entry in entries(show)[hold[SEQ] - 1 :] if entry[VARIANT]], HELD, 5)


def late_promotion(show: Show) -> None:
    """The head was served, but only after what freed the units had been committed."""
    at = of_kind(show, "PROMOTE")[SEQ] - 1
    for entry in entries(show)[at:]:
        entry[TX] += 1


def needless_wait(show: Show) -> None:
    """Somebody was made to wait while units were free."""
    begin = of_kind(show, "BEGIN")
    begin[QUANTITY] += 1
    shift([entry for entry in entries(show) if entry[VARIANT]], ON_HAND, 1)


TAMPERING: dict[str, tuple[Callable[[Show], None], bool]] = {
    # in the file alone: the chain tells
    "a sequence number": (set_("HOLD", SEQ, 99), False),
    "a time": (set_("HOLD", AT, lambda at: at - 1), False),
    "a transaction": (set_("HOLD", TX, lambda tx: tx + 1), False),
    "a kind": (set_("RELEASE", KIND, "RETURN"), False),
    "a variant": (set_("HOLD", VARIANT, "00000000-0000-0000-0000-000000000000"), False),
    "a quantity": (set_("WAIT", QUANTITY, 5), False),
    "a number in line": (set_("WAIT", NUMBER, 9), False),
    "whether a part will do": (set_("WAIT", PARTIAL, False), False),
    "a counter on hand": (set_("HOLD", ON_HAND, 8), False),
    "a counter of who waits": (set_("WAIT", WAITING, 0), False),
    "a rule that was not there": (set_("PROMOTE", RULE, "friends first"), False),
    "a hash": (set_("HOLD", HASH, "ab" * 32), False),
    "an entry left out": (drop("RELEASE"), False),
    "an entry doubled": (double("HOLD"), False),
    "two entries swapped": (swap, False),
    "the end cut off": (cut_tail, False),
    "ledgers under each other's names": (other_product, False),
    "a product twice": (twice, False),
    # with the whole chain made anew: the rules tell
    "who was jumped": (swap_numbers, True),
    "a number with a hole before it": (set_("WAIT", NUMBER, 2), True),
    "a stranger served while others waited": (insider, True),
    "more sold than there was": (oversell, True),
    "a counter that does not follow": (set_("ORDER", COMMITTED, 7), True),
    "a promotion after the fact": (late_promotion, True),
    "a wait while units were free": (needless_wait, True),
    "a promotion of who does not wait": (set_("PROMOTE", NUMBER, 2), True),
    "more given than there was": (set_("PROMOTE", QUANTITY, 2), True),
    "a wait left out": (drop("WAIT"), True),
    "a release left out": (drop("RELEASE"), True),
    "a negative hold": (set_("HOLD", QUANTITY, -1), True),
    "a kind that does not exist": (set_("SHIP", KIND, "GIFT"), True),
    "a deletion undone": (set_("DELETE", KIND, "OPEN", 1), True),
    "sold out by hand forgotten": (drop("CLOSE"), True),
}
SEALED: dict[str, Callable[[Show], None]] = {
    "the end cut off with its head": cut_and_seal,
    "a product left out": drop_product,
}


@pytest.fixture
async def show(shop: Any) -> Show:
    return await sell(shop)


def judge_in_node(folder: Path, shows: dict[str, Show]) -> dict[str, dict[str, Any]]:
    script = Path(dorami_catalog.__file__).with_name("verify.mjs")
    assert len(script.read_text("utf-8").splitlines()) < 150
    files = {}
    for number, (name, one) in enumerate(shows.items()):
        file = folder / f"{number}.json"
        file.write_text(json.dumps(one), "utf-8")
        files[str(file)] = name
    done = subprocess.run([node(), str(script), *files], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    return {files[report["file"]]: report for report in reports}


async def test_a_real_show_holds_and_names_nobody(show: Show, tmp_path: Path) -> None:
    assert {entry[KIND] for number in (0, 1) for entry in entries(show, number)} == {
        *("BEGIN", "STOCK", "HOLD", "RELEASE", "ORDER", "TAKE", "RETURN", "SHIP"),
        *("WAIT", "LEAVE", "PROMOTE", "CLOSE", "OPEN", "DELETE"),
    }
    report = verify(show)
    assert (report.problems, report.exceptions, report.products) == ([], [], 2)
    theirs = judge_in_node(tmp_path, {"it": show, "enveloped": {"data": show, "success": True}})
    for one in theirs.values():
        assert (one["problems"], one["entries"], one["seal"]) == ([], report.entries, report.seal)
    assert "민수" not in json.dumps(show, ensure_ascii=False)


async def test_all_kinds_of_tampering_are_flagged_by_both(show: Show, tmp_path: Path) -> None:
    assert len(TAMPERING) >= 30
    tampered = {}
    for name, (change, is_rechained) in TAMPERING.items():
        one = copy.deepcopy(show)
        change(one)
        if is_rechained:
            rechain(one)
        assert one != show, name
        tampered[name] = one
    assert [name for name, one in tampered.items() if not verify(one).problems] == []
    theirs = judge_in_node(tmp_path, tampered)
    assert [name for name in tampered if not theirs[name]["problems"]] == []


async def test_what_the_rules_cannot_tell_the_seal_does(
    show: Show, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seal = verify(show).seal
    for name, change in SEALED.items():
        one = copy.deepcopy(show)
        change(one)
        assert verify(one).problems == [], name
        file = tmp_path / "show.json"
        file.write_text(json.dumps(one), "utf-8")
        assert main(["verify-show", str(file)]) == 0
        assert main(["verify-show", str(file), "--seal", seal]) == 1, name
    assert "the seal is another" in capsys.readouterr().out


async def test_a_chain_made_anew_without_a_change_holds(show: Show) -> None:
    """The control: it is not the making anew that is flagged."""
    one = copy.deepcopy(show)
    rechain(one)
    assert one == show


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "dorami-show/1", "products": [1]}', "not json"])
def test_what_is_no_show(text: str, tmp_path: Path) -> None:
    file = tmp_path / "show.json"
    file.write_text(text, "utf-8")
    assert main(["verify-show", str(file)]) in (1, 2)


async def test_the_ledger_only_grows(shop: Any) -> None:
    product = await shop.product(1)
    for change in ("UPDATE catalog.ledger SET quantity = 9", "DELETE FROM catalog.ledger"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await shop.bench.db.execute(change)
    head = await shop.bench.db.fetchrow("SELECT ledger_seq FROM catalog.products WHERE id = $1", product.id)
    assert head["ledger_seq"] == 1
