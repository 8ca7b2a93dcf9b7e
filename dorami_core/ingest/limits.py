"""Bounds of the RTMP server that are not settings, and what it counts."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from dorami_core.base.peers import Networks


@attrs.frozen
class RtmpLimits:
    """`handshake_s` for the handshake, `publish_s` from there until the wish to publish, `authorise_s` for the gate's
    answer, `linger_s` for the peer to read the last status. What one read brings is parsed without a pause, and chunks
    may be of one byte: `receive_bytes` bounds how long others wait for that, the more so while a peer is a stranger."""

    max_connections: int = 256
    max_per_address: int = 32
    handshake_s: float = 5
    publish_s: float = 10
    authorise_s: float = 10
    linger_s: float = 1
    receive_bytes: int = 65_536
    receive_bytes_before_publish: int = 8_192


@attrs.frozen
class RtmpStatistics:
    """`connections` and `publishers` are of now, the others count since the start.

    `turned_away`: connections above a limit. `refused`: publishers that the gate, or an unserved request, kept out.
    `lost`: publications that ended without a goodbye. `stalled`: peers cut for their silence.
    """

    connections: int = 0
    publishers: int = 0
    bytes_in: int = 0
    packets_in: int = 0
    accepted: int = 0
    turned_away: int = 0
    refused: int = 0
    lost: int = 0
    stalled: int = 0
    protocol_errors: int = 0
    errors: int = 0


class Counters:
    """The running numbers behind RtmpStatistics."""

    def __init__(self) -> None:
        self.connections = 0
        self.publishers = 0
        self.bytes_in = 0
        self.packets_in = 0
        self.accepted = 0
        self.turned_away = 0
        self.refused = 0
        self.lost = 0
        self.stalled = 0
        self.protocol_errors = 0
        self.errors = 0

    def snapshot(self) -> RtmpStatistics:
        return RtmpStatistics(**vars(self))


class AddressBook:
    """Open connections per address, with a bound that exempt addresses and networks do not have."""

    def __init__(self, max_per_address: int, exempt: Iterable[str] = ()) -> None:
        """ValueError for an exempt address that is none."""
        self._max = max_per_address
        self._exempt = Networks(exempt)
        self._open: dict[str, int] = {}

    def enter(self, address: str) -> bool:
        """Whether one more may come; if so it is counted."""
        count = self._open.get(address, 0)
        if count >= self._max and address not in self._exempt:
            return False
        self._open[address] = count + 1
        return True

    def leave(self, address: str) -> None:
        count = self._open[address] - 1
        if count:
            self._open[address] = count
        else:
            del self._open[address]
