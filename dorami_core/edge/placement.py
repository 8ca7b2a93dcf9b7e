"""Which process a request belongs to, where several share one port; and the hand-over to it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import attrs

from dorami_core.edge.handover import Handover
from dorami_core.edge.http1 import HttpConnection, Request

ENGINE_IO = ("/socket.io/", "/socket.io")
PLAIN = "/ws"
LIVE_FLV = re.compile(r"/live/(?:live/)?([a-z0-9-]{4,64})\.flv")
HLS_FILE = re.compile(r"/(?:hls|live)/([^/]+)")


@attrs.frozen
class Place:
    """This process among its neighbours. `video` names the one that has the relays, None where they are here;
    without `takes_viewers` new sessions begin with a neighbour, if there is one."""

    handover: Handover
    video: str | None = None
    takes_viewers: bool = True


async def hand_over(request: Request, connection: HttpConnection, place: Place) -> bool:
    """True: the connection is another process's now. False: the request is to be served here. Raises UNAVAILABLE."""
    for name in _owners(request, place):
        if await place.handover.give(name, connection.sock, request.peer, connection.received):
            return True
    return False


def _owners(request: Request, place: Place) -> Iterator[str]:
    """The processes to try, in this order; none where the request may stay."""
    if request.path in ENGINE_IO and "sid" in request.query:
        yield request.query["sid"].partition(".")[0]
    elif request.path in ENGINE_IO or request.path == PLAIN:
        if not place.takes_viewers:
            others = place.handover.others()
            yield from random.sample(others, len(others))
    elif place.video is not None and (LIVE_FLV.fullmatch(request.path) or HLS_FILE.fullmatch(request.path)):
        yield place.video
