"""More time for what is held: the one way in which the end of a line ever moves."""

from __future__ import annotations

from uuid import UUID

from dorami_cart import store
from dorami_cart.adding import ITEM_TIMER
from dorami_cart.api import CartItemView
from dorami_cart.model import MAX_EXTEND_S, CartItemExtended
from dorami_core.hooks import Host, Tx, invalid


class Extending:
    """`most_s`: how much longer a line may be held in all."""

    def __init__(self, host: Host, most_s: float) -> None:
        self._host = host
        self._most_s = most_s

    async def extend(self, tx: Tx, product_id: UUID, seconds: float) -> list[CartItemView]:
        """See `CartApi.extend`. The product is locked."""
        if not 1 <= seconds <= MAX_EXTEND_S:
            raise invalid("seconds", f"must be 1 to {MAX_EXTEND_S}")
        items = await store.extend(tx, product_id, seconds, self._most_s)
        await self._host.deadlines.set_many(
            tx, ITEM_TIMER, [(str(item.id), item.expires_at) for _, item in items if item.expires_at is not None]
        )
        for user_id, item in items:
            tx.emit(
                CartItemExtended(
                    user_id=user_id,
                    item_id=item.id,
                    product_id=item.product_id,
                    stream_key=item.stream_key,
                    product_name=item.product_name,
                    color=item.color,
                    size=item.size,
                    quantity=item.quantity,
                    variant_id=item.variant_id,
                    expires_at=item.expires_at,
                )
            )
        return [item for _, item in items]
