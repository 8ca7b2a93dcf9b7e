"""The official Socket.IO client from npm does what a viewer does."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dorami_core.testing.node import node
from dorami_core.testing.server import RunningDorami

FOLDER = Path(__file__).parent / "node"


@pytest.fixture
def product(demo: RunningDorami) -> dict[str, Any]:
    with demo.client("seller@example.test", role="ADMIN") as seller:
        body = {"streamKey": "demo", "name": "노드 가방", "price": "10.00", "quantity": 5}
        data: dict[str, Any] = seller.post("/api/products", json=body).json()["data"]
        return data


def test_join_chat_count_and_buy(demo: RunningDorami, product: dict[str, Any]) -> None:
    with demo.client("node@example.test", name="minji_99") as client:
        token = client.headers["Authorization"].removeprefix("Bearer ")
        run = subprocess.run(
            [node(), "sale.mjs", demo.edge, "demo", token, product["id"]],
            cwd=FOLDER,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        seen = json.loads(run.stdout)
        joined = seen["joined"]["data"]
        assert seen["joined"]["ok"]
        assert joined["stream"]["streamKey"] == "demo"
        assert product["id"] in [row["id"] for row in joined["products"]]
        assert joined["serverTime"]
        assert isinstance(seen["history"], list)
        assert seen["counts"][-1]["streamKey"] == "demo"
        assert seen["counts"][-1]["viewerCount"] >= 1

        assert seen["sent"]["ok"]
        assert seen["again"]["data"]["id"] == seen["sent"]["data"]["id"], "the same clientId is the same message"
        assert [message["message"] for message in seen["messages"]] == ["3 < 5 <3"]
        assert seen["messages"][0]["displayName"] == "minji_99"
        assert {"id", "liveId", "userId", "timestamp", "seq", "epoch"} <= set(seen["messages"][0])

        assert seen["added"]["ok"]
        assert seen["added"]["data"]["item"]["quantity"] == 1
        assert [row for row in seen["updates"] if row["id"] == product["id"]][-1]["available"] == 4
        assert "minji_99" not in seen["activity"][-1]["maskedName"]
        assert (seen["refused"]["ok"], seen["refused"]["errorCode"]) == (False, "VALIDATION_FAILED")
        assert (seen["unknown"]["ok"], seen["unknown"]["errorCode"]) == (False, "VALIDATION_FAILED")

        cart = client.get("/api/cart").json()["data"]
        assert [item["productId"] for item in cart["items"]] == [product["id"]]
