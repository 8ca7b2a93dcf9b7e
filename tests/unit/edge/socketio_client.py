"""The client of python-socketio, unmodified, against the edge: does what `client.mjs` of the Node client's test does.

Arguments: URL, transports ("default" or names joined by commas), parser ("default" or "msgpack"). Prints one JSON line
per step. Handlers take `*_`, since a server that can recover a connection sends an offset as one more argument.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

import socketio

CHATTED = ["하나", "two", "😀", "x" * 70_000]


def say(step: str, **facts: Any) -> None:
    print(json.dumps({"step": step, **facts}), flush=True)


class Pings(logging.Handler):
    """Of the engine, which tells of them in its log alone."""

    def __init__(self, enough: int) -> None:
        super().__init__()
        self.left = enough
        self.over = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if "Received packet PING" in record.getMessage():
            self.left -= 1
            if not self.left:
                self.over.set()


async def refusal(client: socketio.AsyncClient, url: str, **options: Any) -> Any:
    found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    for namespace in options.get("namespaces", ["/"]):
        client.on("connect_error", lambda data, *_: found.set_result(data), namespace=namespace)
    try:
        await client.connect(url, **options)
    except socketio.exceptions.ConnectionError:
        return await found
    raise AssertionError("let in")


async def main(url: str, transports: str, parser: str) -> None:
    engine_log = logging.getLogger("engine")
    engine_log.setLevel(logging.INFO)
    engine_log.propagate = False
    pings = Pings(3)
    engine_log.addHandler(pings)
    how = {} if transports == "default" else {"transports": transports.split(",")}

    def make(**options: Any) -> socketio.AsyncClient:
        return socketio.AsyncClient(reconnection=False, serializer=parser, **options)

    root, chat, guest = make(engineio_logger=engine_log), make(), make()
    mina = {"token": "user:mina"}
    await root.connect(url, auth=mina, namespaces=["/", "/chat"], **how)
    await chat.connect(url, auth=mina, namespaces=["/chat"], **how)
    await guest.connect(url, namespaces=["/streaming"], **how)
    lost = await refusal(make(), url, namespaces=["/nowhere"], **how)
    refused = await refusal(make(), url, auth={"token": "stolen"}, **how)
    distinct = root.get_sid("/") != root.get_sid("/chat")
    say("connected", transport=root.transport(), distinct=distinct, lost=lost["message"], refused=refused["data"])

    say("joined", **await root.call("join:stream", {"streamKey": "demo-stream"}))
    await chat.call("chat:join-room", {"liveId": "demo-stream"}, namespace="/chat")
    heard: asyncio.Queue[str] = asyncio.Queue()
    chat.on("chat:message", lambda message, *_: heard.put_nowait(message["message"]), namespace="/chat")
    came = []
    for text in CHATTED:
        answer = await chat.call("chat:send-message", {"liveId": "demo-stream", "message": text}, namespace="/chat")
        assert answer["ok"], answer
        came.append(await heard.get())
    say("chatted", heard=[text if len(text) < 100 else len(text) for text in came])
    say("refused", **await guest.call("user-only", {}, namespace="/streaming"))
    say("unknown", **await root.call("no:such-event", {}))
    say("bytes", **await root.call("bytes", {"data": b"\1\2\3"}))

    mirrored: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    root.on("mirrored", lambda message, *_: mirrored.set_result(message["data"]))
    copy = await root.call("mirror", {"data": b"mirror"})
    say("mirror", heard=(await mirrored).decode(), answer=copy["data"]["data"].decode())

    await pings.over.wait()
    say("alive", connected=root.connected and chat.connected and guest.connected)
    await chat.disconnect()
    say("left", **await root.call("wait-for-leave", {}))

    gone = [asyncio.get_running_loop().create_future() for _ in range(2)]
    root.on("disconnect", lambda *_: gone[0].set_result(None))
    guest.on("disconnect", lambda *_: gone[1].set_result(None), namespace="/streaming")
    say("ready")
    await asyncio.gather(*gone)
    say("gone")


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 25))
