"""The shape of an event."""

from __future__ import annotations

import re
from datetime import datetime
from uuid import UUID

import attrs


@attrs.frozen(kw_only=True)
class Event:
    """Something that happened. Subclasses are `@attrs.frozen(kw_only=True)`, named in the past tense, with fields of
    str, int, bool, float, UUID, datetime, Money, enums, other attrs classes, and lists of these.

    `OrderPaid` is delivered to hook `on_order_paid(event, meta)`.
    """

    @property
    def aggregate(self) -> str:
        """What the event is about, as `kind:id`; events of one aggregate are delivered in order."""
        raise AttributeError(f"{type(self).__name__} names no aggregate")

    @classmethod
    def hook_name(cls) -> str:
        return "on_" + re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


@attrs.frozen(kw_only=True)
class EventMeta:
    """Where and when an event was committed. `id` is the key for idempotent subscribers."""

    id: UUID
    position: int
    aggregate_seq: int
    at: datetime
