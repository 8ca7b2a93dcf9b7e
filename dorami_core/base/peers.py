"""Who is at the other end, and under which name he called us."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache

import attrs

FORWARDED_HEADERS = frozenset(
    {
        "forwarded",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-forwarded-server",
        "x-real-ip",
    }
)
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def has_forwarded(headers: Mapping[str, str]) -> bool:
    """True where a proxy says that it passed the request on. Names are lower-case."""
    return not FORWARDED_HEADERS.isdisjoint(headers)


@lru_cache(maxsize=4096)
def address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An IP address, IPv4 where it is IPv4 in IPv6's clothes; None for anything else."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def is_loopback(peer: str) -> bool:
    found = address(peer)
    return found is not None and found.is_loopback


def host_name(host: str) -> str | None:
    """The name of a Host header, lower-case and without its port; brackets stay. None where it is malformed."""
    match = _HOST.fullmatch(host)
    return match[1].lower() if match else None


def is_served(host: str, names: Collection[str]) -> bool:
    """Whether a Host header names us: an IP literal, `localhost`, or one of `names` (RFC 9110, 7.4).

    Anything else may be another site's name that was made to point here (DNS rebinding).
    """
    name = host_name(host)
    if name is None:
        return False
    return name == "localhost" or name in names or address(name.strip("[]")) is not None


@attrs.frozen
class Client:
    """The client's address and scheme, after trusted proxies."""

    peer: str
    scheme: str


class Networks:
    """Addresses and networks of the settings. ValueError where an entry is neither."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._networks: list[_Network] = [ipaddress.ip_network(entry, strict=False) for entry in entries]

    def __contains__(self, peer: str) -> bool:
        found = address(peer) if self._networks else None
        return found is not None and any(
            found.version == network.version and found in network for network in self._networks
        )


class Proxies:
    """Proxies whose forwarded headers count: addresses or networks. ValueError where one is neither."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._trusted = Networks(trusted)

    def trusts(self, peer: str) -> bool:
        return peer in self._trusted

    def client(self, peer: str, scheme: str, headers: Mapping[str, str]) -> Client:
        """Walks X-Forwarded-For from its end, past every trusted proxy, to the first that is not."""
        if not self.trusts(peer):
            return Client(peer, scheme)
        for hop in reversed([part.strip() for part in headers.get("x-forwarded-for", "").split(",") if part.strip()]):
            if address(hop) is None:
                break
            peer = hop
            if not self.trusts(hop):
                break
        proto = headers.get("x-forwarded-proto", "").rpartition(",")[2].strip().lower()
        return Client(peer, proto if proto in ("http", "https") else scheme)
