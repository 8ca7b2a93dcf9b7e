"""The chat of a whole Dorami, over HTTP alone: Engine.IO's long polling by hand."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from dorami_core.testing.server import RunningDorami, running_dorami


class Poller:
    """One client in `/chat`."""

    def __init__(self, server: RunningDorami, token: str) -> None:
        self._http = httpx.Client(base_url=server.edge, timeout=60)
        self._query = {"EIO": "4", "transport": "polling"}
        opened = self._http.get("/socket.io/", params=self._query).text
        self._query["sid"] = json.loads(opened[1:])["sid"]
        self._waiting: list[str] = []
        self._post("40/chat," + json.dumps({"token": token}))
        self._until("40/chat,")

    def close(self) -> None:
        self._http.close()

    def ask(self, event: str, data: dict[str, Any]) -> dict[str, Any]:
        """The acknowledgement."""
        self._post("42/chat,7" + json.dumps([event, data]))
        found: list[dict[str, Any]] = json.loads(self._until("43/chat,7"))
        return found[0]

    def _post(self, packet: str) -> None:
        self._http.post("/socket.io/", params=self._query, content=packet.encode()).raise_for_status()

    def _until(self, start: str) -> str:
        while True:
            while self._waiting:
                packet = self._waiting.pop(0)
                if packet == "2":
                    self._post("3")
                if packet.startswith(start):
                    return packet.removeprefix(start)
            answer = self._http.get("/socket.io/", params=self._query)
            answer.raise_for_status()
            self._waiting = answer.text.split("\x1e")


def token_of(client: httpx.Client) -> str:
    return client.headers["Authorization"].removeprefix("Bearer ")


def test_chat_closes_with_its_broadcast_and_is_not_lost_by_a_stop(short_tmp: Path) -> None:
    data = short_tmp / "chatty"
    with running_dorami(data) as server:
        with (
            server.client("s@example.test", role="ADMIN") as seller,
            server.client("v@example.test") as viewer,
            closing(Poller(server, token_of(viewer))) as chat,
        ):
            for _ in range(3):  # nothing stale is known of the one before
                key = seller.post("/api/streams", json={"title": "곧"}).json()["data"]["streamKey"]
                assert chat.ask("chat:join-room", {"liveId": key})["data"] == {
                    "liveId": key,
                    "frozen": False,
                    "slowSeconds": 0,
                    "pinned": None,
                    "hearts": 0,
                    "isModerator": False,
                    "timedOutUntil": None,
                }
                said = chat.ask("chat:send-message", {"liveId": key, "message": "기다려요"})
                assert said["ok"], said
                assert chat.ask("chat:heart", {"liveId": key, "count": 5}) == {"ok": True}
                assert seller.post(f"/api/streams/{key}/end", json={}).status_code == 200
                late = chat.ask("chat:send-message", {"liveId": key, "message": "늦었어요"})
                assert (late["ok"], late["errorCode"]) == (False, "CONFLICT")
                assert chat.ask("chat:heart", {"liveId": key})["errorCode"] == "CONFLICT"
            # the last word, and then the end in the same moment
            key = seller.post("/api/streams", json={"title": "끝"}).json()["data"]["streamKey"]
            last = chat.ask("chat:send-message", {"liveId": key, "message": "마지막 말"})["data"]
        server.stop()
    with running_dorami(data) as server, server.client("s@example.test", role="ADMIN") as seller:
        (kept,) = seller.get(f"/api/admin/chat/{key}").json()["data"]["items"]
        assert (kept["id"], kept["message"], kept["seq"]) == (last["id"], "마지막 말", last["seq"])
