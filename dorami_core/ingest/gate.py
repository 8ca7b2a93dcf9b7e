"""What ingest asks of the rest: may this publisher in, and where do its packets go."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

import attrs

from dorami_core.media.packets import MediaKind, MediaPacket

RefusalCode = Literal["unknown_key", "wrong_secret", "busy", "ended", "refused"]


class PublishRefused(Exception):
    """The publisher may not in. `code` is for logs; a publisher is told no more than that it was refused."""

    def __init__(self, code: RefusalCode) -> None:
        super().__init__(code)
        self.code: RefusalCode = code


@attrs.frozen
class PublishRequest:
    """`secret` is what came with the key (`{streamKey}?secret=...`), "" where nothing did; never logged."""

    stream_key: str
    secret: str = attrs.field(repr=False)
    address: str
    client_id: str
    encoder: str


class Publication(Protocol):
    """A publisher that was let in."""

    def write(self, packet: MediaPacket) -> None:
        """Takes one packet; never blocks."""
        ...

    def finish(self) -> None:
        """The publisher said goodbye (FCUnpublish, deleteStream); without it, it is taken for lost."""
        ...

    def note_round_trip(self, seconds: float) -> None:
        """Of the connection, as measured by now."""
        ...

    def note_codec(self, kind: MediaKind, codec: str) -> None:
        """It sends what is not taken here, and is about to be sent away for it."""
        ...

    async def wait_cut(self) -> str:
        """Returns the reason when the core wants this publisher gone."""
        ...


class PublishGate(Protocol):
    def publish(self, request: PublishRequest) -> AbstractAsyncContextManager[Publication]:
        """Entering authorises and raises PublishRefused; leaving ends the publication, for whatever reason."""
        ...
