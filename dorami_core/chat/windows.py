"""Rate windows of this process, for what is worth no question to Redis: joins and hearts."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable

from dorami_core.base.clock import Clock
from dorami_core.base.errors import DoramiError
from dorami_core.base.peers import address

KEYS_KEPT = 50_000


def address_key(peer: str) -> str:
    """What counts as one address: of IPv6 the network of 64 bits that one customer has."""
    found = address(peer)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, 64), strict=False).network_address)
    return str(found or peer)


class LocalWindow:
    """`count` at once and `count` in each `window_s` from then on; one number a key, the 50,000 last used are kept."""

    def __init__(self, clock: Clock, count: int, window_s: float) -> None:
        self._clock = clock
        self._each_s = window_s / count
        self._window_s = window_s
        self._until: OrderedDict[Hashable, float] = OrderedDict()

    def take(self, key: Hashable, amount: int = 1) -> None:
        """RATE_LIMITED with the time to wait; then nothing was taken."""
        now = self._clock.monotonic()
        until = max(now, self._until.get(key, now)) + amount * self._each_s
        wait_s = until - now - self._window_s
        if wait_s > 1e-6:
            raise DoramiError("RATE_LIMITED", retry_after_ms=max(1, round(wait_s * 1000)))
        self._until[key] = until
        self._until.move_to_end(key)
        if len(self._until) > KEYS_KEPT:
            self._until.popitem(last=False)
