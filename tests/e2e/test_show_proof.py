"""The proof of a sale, taken out of a running Dorami and checked by the command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dorami_core.cli import main
from dorami_core.testing.server import RunningDorami


def test_a_show_is_exported_and_verified(
    demo: RunningDorami, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with demo.client("seller@example.test", role="ADMIN") as seller, demo.client("prover@example.test") as buyer:
        product = seller.post(
            "/api/products", json={"streamKey": "demo", "name": "한 점", "price": "5.00", "quantity": 1}
        )
        wanted = {"productId": product.json()["data"]["id"], "quantity": 1}
        buyer.post("/api/cart", json=wanted).raise_for_status()
        with demo.client("waiter@example.test") as waiter:
            assert waiter.post("/api/reservations", json=wanted).status_code == 201
            refused = waiter.post("/api/reservations", json=wanted)
            assert (refused.status_code, refused.json()["errorCode"]) == (409, "RESERVATION_EXISTS")
            assert waiter.get("/api/admin/shows/demo/ledger").status_code == 403
        answer = seller.get("/api/admin/shows/demo/ledger")
        seller.delete(f"/api/products/{wanted['productId']}").raise_for_status()
        assert seller.get("/api/admin/shows/nothing-here/ledger").json()["errorCode"] == "STREAM_NOT_FOUND"
    file = tmp_path / "show.json"
    file.write_bytes(answer.content)
    assert "prover" not in answer.text
    assert main(["verify-show", str(file)]) == 0
    (entries,) = re.findall(r"(\d+) entries", capsys.readouterr().out)
    assert int(entries) >= 3, "the product's opening, the hold, the place in the queue"
    file.write_text(answer.text.replace('"HOLD"', '"TAKE"', 1), "utf-8")
    assert main(["verify-show", str(file)]) == 1
