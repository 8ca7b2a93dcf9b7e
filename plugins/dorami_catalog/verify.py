"""`dorami verify-show FILE`: checks an exported show, with nothing but the file.

Whoever rewrites an entry breaks the chain of its product. Whoever rewrites the chain as well still has to keep the
rules of selling, and changes the seal that this prints: keep the seal of a show, or let somebody else keep it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, NoReturn

import attrs

FORMAT = "dorami-show/1"
NO_HASH = "00" * 32
LENGTH = 14
CHANGES = {
    "BEGIN": (1, 0, 0),
    "STOCK": (1, 0, 0),
    "HOLD": (0, 1, 0),
    "RELEASE": (0, -1, 0),
    "ORDER": (0, -1, 1),
    "TAKE": (0, 0, 1),
    "RETURN": (0, 0, -1),
    "SHIP": (-1, 0, -1),
    "WAIT": (0, 0, 0),
    "LEAVE": (0, 0, 0),
    "PROMOTE": (0, 1, 0),
}
"""What an entry of each kind adds, times its quantity, to on hand, held and committed."""
WHOLE = ("CLOSE", "OPEN", "DELETE")
TAKING = ("HOLD", "TAKE", "WAIT", "PROMOTE")
SIGNED = ("STOCK",)


class Broken(Exception):
    """A rule that an entry breaks."""


@attrs.frozen
class Report:
    """What was found. `exceptions` are served before the head by a named rule: allowed, but to be seen."""

    products: int
    entries: int
    problems: list[str]
    exceptions: list[str]
    seal: str


@attrs.define
class _Variant:
    on_hand: int = 0
    held: int = 0
    committed: int = 0
    queue: dict[int, tuple[int, bool]] = attrs.Factory(dict)
    """By number: how many are wanted, and whether fewer will do."""

    @property
    def free(self) -> int:
        return self.on_hand - self.held - self.committed


@attrs.define
class _Product:
    id: str
    seq: int = 0
    last: str = NO_HASH
    tx: int | None = None
    closed: bool = False
    deleted: bool = False
    numbers: int = 0
    began: bool = False
    """Something other than BEGIN has happened, so counters of new variants begin at nothing."""
    variants: dict[str, _Variant] = attrs.Factory(dict)
    exceptions: list[str] = attrs.Factory(list)

    def take(self, entry: list[Any]) -> None:
        seq, _, tx, kind, variant_id, quantity, number, partial, *counters, rule, hashed = entry
        self._chain(entry, hashed)
        if tx != self.tx:
            self.check_heads()
            self.tx = tx
        if kind in WHOLE:
            self._whole(kind, variant_id, quantity, counters)
            return
        if kind not in CHANGES:
            raise Broken(f"there is no kind {kind}")
        self._quantity(kind, quantity)
        if kind == "BEGIN":
            self._begin(variant_id, quantity, counters)
            return
        self.began = True
        variant = self.variants.get(variant_id)
        if variant is None:
            raise Broken("a variant that never began")
        if kind in TAKING and self.deleted:
            raise Broken("of a deleted product")
        self._queue(variant, kind, quantity, number, partial, rule, seq)
        on_hand, held, committed = CHANGES[kind]
        variant.on_hand += on_hand * quantity
        variant.held += held * quantity
        variant.committed += committed * quantity
        self._compare(variant, counters)

    def check_heads(self) -> None:
        """At the end of what was committed together nobody waits for what he could have."""
        if self.closed or self.deleted:
            return
        for variant in self.variants.values():
            if not variant.queue or variant.free <= 0:
                continue
            head = min(variant.queue)
            wanted, partial = variant.queue[head]
            if partial or variant.free >= wanted:
                raise Broken(f"number {head} was kept waiting while {variant.free} were free")

    def _chain(self, entry: list[Any], hashed: str) -> None:
        if entry[0] != self.seq + 1:
            raise Broken(f"{self.seq + 1} is missing")
        if entry_hash(self.last, self.id, entry) != hashed:
            raise Broken("its hash is not that of what it says")
        self.seq, self.last = entry[0], hashed

    def _whole(self, kind: str, variant_id: Any, quantity: int, counters: list[int]) -> None:
        if variant_id is not None or quantity != 0 or any(counters):
            raise Broken(f"{kind} is of the whole product")
        if self.deleted or (kind == "CLOSE" and self.closed) or (kind == "OPEN" and not self.closed):
            raise Broken(f"{kind} changes nothing")
        if kind == "DELETE":
            self.deleted = True
        else:
            self.closed = kind == "CLOSE"

    def _begin(self, variant_id: str, quantity: int, counters: list[int]) -> None:
        if variant_id in self.variants:
            raise Broken("a variant begins twice")
        _, held, committed, waiting = counters
        if waiting or (self.began and (held or committed)):
            raise Broken("a new variant begins with units that somebody has")
        self.variants[variant_id] = variant = _Variant(quantity, held, committed)
        self._compare(variant, counters)

    def _quantity(self, kind: str, quantity: Any) -> None:
        if type(quantity) is not int or (quantity < 0 and kind not in SIGNED):
            raise Broken(f"{kind} of {quantity}")
        if quantity == 0 and kind not in ("BEGIN", "LEAVE"):
            raise Broken(f"{kind} of nothing")

    def _queue(
        self, variant: _Variant, kind: str, quantity: int, number: Any, partial: Any, rule: Any, seq: int
    ) -> None:
        free = 0 if self.closed else variant.free
        if kind in ("HOLD", "TAKE") and variant.queue:
            raise Broken(f"units went past number {min(variant.queue)}, who waited")
        if kind == "HOLD" and self.closed:
            raise Broken("units were taken while the product was sold out by hand")
        if kind not in ("WAIT", "LEAVE", "PROMOTE"):
            if number is not None or partial is not None or rule is not None:
                raise Broken(f"{kind} names a place in a queue")
        elif kind == "WAIT":
            if number != self.numbers + 1:
                raise Broken(f"number {number} follows {self.numbers}")
            if type(partial) is not bool:
                raise Broken("does not say whether a part will do")
            if free > 0 and not variant.queue:
                raise Broken(f"somebody was made to wait while {free} were free")
            self.numbers = number
            variant.queue[number] = (quantity, partial)
        elif number not in variant.queue:
            raise Broken(f"number {number} does not wait")
        elif kind == "LEAVE":
            del variant.queue[number]
        else:
            self._promote(variant, free, quantity, number, rule, seq)

    def _promote(self, variant: _Variant, free: int, quantity: int, number: int, rule: Any, seq: int) -> None:
        head = min(variant.queue)
        if number != head:
            if not rule:
                raise Broken(f"number {number} was served before number {head}")
            self.exceptions.append(f"{self.id} {seq}: number {number} before number {head}: {rule}")
        wanted, partial = variant.queue.pop(number)
        if quantity != min(wanted, free) or (quantity < wanted and not partial):
            raise Broken(f"number {number} wanted {wanted} of {free} and got {quantity}")

    def _compare(self, variant: _Variant, counters: list[int]) -> None:
        counted = [variant.on_hand, variant.held, variant.committed, len(variant.queue)]
        if counted != counters:
            raise Broken(f"counts {counters}, but it is {counted}")
        if min(*counted, variant.free) < 0:
            raise Broken(f"more was sold than there is: {counted}")


def entry_hash(before: str, product_id: str, entry: list[Any]) -> str:
    """Of an entry's fields (its own hash left out), after the hash of the one before."""
    seq, at, tx, kind, variant, quantity, number, partial, *counters, rule, _ = entry
    shown = {None: "", True: "t", False: "f"}
    fields = [product_id, seq, at, tx, kind, variant or "", quantity, "" if number is None else number]
    text = "|".join(map(str, [*fields, shown[partial], *counters, rule or ""]))
    return hashlib.sha256(bytes.fromhex(before) + text.encode()).hexdigest()


def verify(show: Any) -> Report:
    """Checks all products; of each the first thing that is wrong is told, for after it nothing can be relied on."""
    if isinstance(show, dict) and "data" in show:
        show = show["data"]
    if not isinstance(show, dict) or show.get("format") != FORMAT or not isinstance(show.get("products"), list):
        return Report(0, 0, [f"this is no file of the format {FORMAT}"], [], "")
    problems: list[str] = []
    exceptions: list[str] = []
    heads: dict[str, str] = {}
    count = 0
    for told in show["products"]:
        product = _Product(str(told.get("id")) if isinstance(told, dict) else "?")
        try:
            if product.id in heads:
                raise Broken("is there twice")
            heads[product.id] = told["head"]
            for entry in told["entries"]:
                count += 1
                if not isinstance(entry, list) or len(entry) != LENGTH:
                    raise Broken("is not an entry")
                product.take(entry)
            product.check_heads()
            if product.last != told["head"]:
                raise Broken("the chain does not end at its head")
        except Broken as broken:
            problems.append(f"{product.id} {product.seq}: {broken}")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problems.append(f"{product.id} {product.seq}: cannot be read ({type(error).__name__})")
        exceptions += product.exceptions
    text = "".join(f"{product_id}{head}" for product_id, head in sorted(heads.items()))
    seal = hashlib.sha256(text.encode()).hexdigest()
    return Report(len(show["products"]), count, problems, exceptions, seal)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="what GET /api/admin/shows/{streamKey}/ledger answered")
    parser.add_argument("--seal", help="what it printed before: nothing may have changed since")


def run(options: Namespace) -> int:
    """0: all rules held; 1: not; 2: the file cannot be read."""
    try:
        show = json.loads(options.file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        print(f"dorami verify-show: {error}", file=sys.stderr)
        return 2
    report = verify(show)
    for line in report.exceptions:
        print(f"exception  {line}")
    for line in report.problems:
        print(f"BROKEN     {line}")
    print(f"{report.products} products, {report.entries} entries, seal {report.seal}")
    if options.seal is not None and options.seal != report.seal:
        print("BROKEN     the seal is another: this is not the show that was sealed")
        return 1
    return 1 if report.problems else 0


def main() -> NoReturn:
    parser = ArgumentParser(prog="dorami verify-show", description="Checks the ledger of a show.")
    add_arguments(parser)
    sys.exit(run(parser.parse_args()))


if __name__ == "__main__":
    main()
