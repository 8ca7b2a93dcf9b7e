"""What a broadcast's task is asked to do."""

from __future__ import annotations

import attrs
import trio

from dorami_core.ingest.gate import RefusalCode
from dorami_core.streams.model import StreamRow
from dorami_core.streams.source import Source


@attrs.define(eq=False)
class Admit:
    """A source that wants in; `refusal` is the answer, None when admitted."""

    source: Source
    refusal: RefusalCode | None = None
    answered: trio.Event = attrs.field(factory=trio.Event)


@attrs.define(eq=False)
class Close:
    """The seller's end; `row` or `error` is the answer."""

    row: StreamRow | None = None
    error: Exception | None = None
    answered: trio.Event = attrs.field(factory=trio.Event)


class Wake:
    """A fact has changed."""


Command = Admit | Close | Wake
