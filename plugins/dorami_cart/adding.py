"""Adding to carts: many wishes for one product in one transaction, each with an answer of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from dorami_catalog.api import CatalogApi, StockChange

from dorami_cart import store
from dorami_cart.api import AddAnswer, AddToCart, AskToWait, CartItemView, WaitingAnswer, mask_name
from dorami_cart.model import CartItemAdded
from dorami_core.hooks import DoramiError, Host, Row, Tx, invalid, plain_maker

ITEM_TIMER = "cart_item"
ATTEMPTS = 3
Decision = AddAnswer | DoramiError

_to_plain = plain_maker(CartItemView)


@attrs.define
class _Decided:
    """What became of a batch so far; `answers` are None where nothing is decided yet."""

    answers: list[Decision | None]
    added: list[tuple[AskToWait, CartItemView, Row]] = attrs.Factory(list)
    waiting: list[int] = attrs.Factory(list)
    known: set[int] = attrs.Factory(set)
    """Whose names were known before."""


class Adding:
    def __init__(self, host: Host, hold_s: float) -> None:
        self._host = host
        self._catalog: CatalogApi = host.api(CatalogApi)  # type: ignore[type-abstract]
        self._hold_s = hold_s

    async def decide(self, take: Callable[[], Sequence[AskToWait]]) -> list[Decision]:
        """In order. Either all of it is committed, or an error is raised and nothing happened."""
        for _ in range(ATTEMPTS):
            try:
                async with self._host.db.transaction() as tx:
                    return await self.decide_in(tx, take())
            except _NameTaken:
                continue
        raise DoramiError("UNAVAILABLE", retry_after_ms=100)

    async def decide_in(self, tx: Tx, asked: Sequence[AskToWait]) -> list[Decision]:
        wishes = [_named(one.wish) for one in asked]
        decided = _Decided([None] * len(asked))
        for row in await store.add_many(tx, asked, self._hold_s, wishes):
            self._take(decided, row["n"] - 1, asked[row["n"] - 1], row)
        if decided.added:
            await self._settle(tx, decided.added)
        if decided.waiting:
            await self._wait(tx, decided, asked)
        answers = [answer for answer in decided.answers if answer is not None]
        await self._remember(tx, decided, asked, wishes)
        return answers

    def _take(self, decided: _Decided, index: int, asked: AskToWait, row: Row) -> None:
        match row["outcome"]:
            case "OK":
                item = store.view_of(row)
                decided.added.append((asked, item, row))
                decided.answers[index] = AddAnswer(item=_to_plain(item))
            case "REPEATED":
                decided.answers[index] = _again(row["answer"])
                decided.known.add(index)
            case "OTHER_WISH":
                decided.answers[index] = DoramiError("CONFLICT", field="clientId")
                decided.known.add(index)
            case "SHORT" if asked.wish.wait:
                decided.answers[index] = _refusal(row, asked.wish)
                decided.waiting.append(index)
            case _:
                decided.answers[index] = _refusal(row, asked.wish)

    async def _settle(self, tx: Tx, added: Sequence[tuple[AskToWait, CartItemView, Row]]) -> None:
        """Timers, events and hooks of what was added; the product is told of once for all."""
        first, last = added[0][2], added[-1][2]
        self._catalog.announce(
            tx,
            StockChange(
                product_id=last["product_id"],
                stream_key=last["main_stream_key"],
                version=last["version"],
                available_before=first["available_before"],
                available_after=last["available_after"],
            ),
        )
        timers = [(str(item.id), item.expires_at) for _, item, row in added if item.expires_at and not row["merged"]]
        if timers:
            await self._host.deadlines.set_many(tx, ITEM_TIMER, timers)
        for asked, item, row in added:
            quantity = asked.wish.quantity
            await self._host.hooks.in_tx(
                "cart_item_added_in_tx", tx, user_id=asked.user.id, item=item, quantity=quantity
            )
            tx.emit(
                CartItemAdded(
                    user_id=asked.user.id,
                    item_id=item.id,
                    product_id=item.product_id,
                    stream_key=item.stream_key,
                    product_name=item.product_name,
                    color=item.color,
                    size=item.size,
                    quantity=quantity,
                    masked_name=mask_name(asked.user.display_name),
                    stream_keys=list(row["stream_keys"]),
                )
            )

    async def _wait(self, tx: Tx, decided: _Decided, asked: Sequence[AskToWait]) -> None:
        """Without a queue the refusal for want of stock stays."""
        places: Sequence[WaitingAnswer] | None = await self._host.hooks.choose(
            "choose_waiting_places", tx=tx, asked=[asked[index] for index in decided.waiting]
        )
        for index, answer in zip(decided.waiting, places or (), strict=places is not None):
            refused = answer.refusal is not None
            decided.answers[index] = answer.refusal if refused else AddAnswer(reservation=answer.place)

    async def _remember(self, tx: Tx, decided: _Decided, asked: Sequence[AskToWait], wishes: Sequence[str]) -> None:
        """A named wish that was granted is remembered with its answer, one that was refused may be said again. Last of
        all, for who says the same name elsewhere waits here for our end."""
        granted: list[tuple[AskToWait, str, dict[str, Any]]] = []
        refused: list[AskToWait] = []
        for index, (one, wish, answer) in enumerate(zip(asked, wishes, decided.answers, strict=True)):
            if one.wish.client_id is None or index in decided.known:
                continue
            if isinstance(answer, AddAnswer):
                granted.append((one, wish, answer.item or {"reservation": answer.reservation}))
            else:
                refused.append(one)
        if granted and not await store.remember(tx, granted):
            raise _NameTaken
        # Refused, maybe, for what he was granted himself a moment ago.
        if refused and await store.is_any_known(tx, refused):
            raise _NameTaken


class _NameTaken(Exception):
    """Somebody said the same name to another process, and was decided first: asked again it is known."""


def _named(wish: AddToCart) -> str:
    """What a `client_id` stands for."""
    made_in = [] if wish.stream_key is None else [wish.stream_key]
    return json.dumps([str(wish.product_id), wish.quantity, wish.color, wish.size, wish.wait, *made_in])


def _again(answer: dict[str, Any]) -> AddAnswer:
    """A place in a queue is remembered under its name, a line of the cart bare."""
    return AddAnswer(reservation=answer["reservation"]) if "reservation" in answer else AddAnswer(item=answer)


def _refusal(row: Row, wish: AddToCart) -> DoramiError:
    outcome = row["outcome"]
    if outcome == "NOT_FOUND":
        return DoramiError("PRODUCT_NOT_FOUND")
    if outcome == "SHORT":
        return DoramiError("INSUFFICIENT_STOCK", productId=str(wish.product_id), available=row["variant_available"])
    if outcome == "LIMIT":
        return DoramiError("BUYER_LIMIT", productId=str(wish.product_id), left=row["variant_available"])
    return invalid("size" if outcome == "BAD_SIZE" else "color", "choose one of the options")
