"""Events as JSON: how they lie in the outbox."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import cattrs

from dorami_core.base.money import Money
from dorami_core.events.model import Event


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    converter.register_unstructure_hook(UUID, str)
    converter.register_structure_hook(UUID, lambda value, _: UUID(value))
    converter.register_unstructure_hook(datetime, datetime.isoformat)
    converter.register_structure_hook(datetime, lambda value, _: datetime.fromisoformat(value))
    converter.register_unstructure_hook(Money, lambda money: {"minor": money.minor, "currency": money.currency})
    converter.register_structure_hook(Money, lambda value, _: Money(value["minor"], value["currency"]))
    return converter


class EventCodec:
    """Knows the event classes of the core and of the loaded plugins, by class name.

    Fields that an older row has and the class no longer has are ignored; a new field needs a default.
    """

    def __init__(self, kinds: Iterable[type[Event]] = ()) -> None:
        self._kinds: dict[str, type[Event]] = {}
        self._converter = _make_converter()
        for kind in kinds:
            self.add(kind)

    def add(self, kind: type[Event]) -> None:
        """ValueError where another class has the name."""
        if self._kinds.setdefault(kind.__name__, kind) is not kind:
            raise ValueError(f"two event classes are named {kind.__name__}")

    def kinds(self) -> dict[str, type[Event]]:
        return dict(self._kinds)

    def encode(self, event: Event) -> tuple[str, dict[str, Any]]:
        """Type name and fields. ValueError where the class was never registered."""
        name = type(event).__name__
        if self._kinds.get(name) is not type(event):
            raise ValueError(f"event {name} is not registered")
        return name, self._converter.unstructure(event)

    def decode(self, name: str, fields: dict[str, Any]) -> Event | None:
        """None where the class is not there any more (its plugin was taken out)."""
        kind = self._kinds.get(name)
        return None if kind is None else self._converter.structure(fields, kind)
