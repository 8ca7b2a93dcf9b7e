"""`dorami web` and `dorami edge`, two of each, on servers that somebody else runs."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import attrs
import httpx
import pytest

from dorami_core.store.embedded import RunningServer
from dorami_core.testing.databases import DatabaseFarm
from dorami_core.testing.server import RunningDorami, eventually, running_dorami, start_dorami

POLLING = "/socket.io/?EIO=4&transport=polling"


@attrs.frozen
class Fleet:
    webs: list[RunningDorami]
    edges: list[RunningDorami]
    environ: dict[str, str]


def stop(server: RunningDorami) -> None:
    if server.process.poll() is None:
        assert server.stop() == 0


@pytest.fixture(scope="module")
def fleet(database_farm: DatabaseFarm, redis_server: RunningServer, short_tmp: Path) -> Iterator[Fleet]:
    """All four start at once on a database that nobody has migrated."""
    with ExitStack() as stack:
        environ = {
            "DATABASE_URL": stack.enter_context(database_farm.fresh(())),
            "REDIS_URL": redis_server.url,
            "JWT_SECRET": secrets.token_urlsafe(48),
            "PROFILE_ENCRYPTION_KEY": secrets.token_hex(32),
        }

        def start(role: str) -> RunningDorami:
            return start_dorami(short_tmp / "fleet", role=role, environ=environ)

        with ThreadPoolExecutor() as starting:
            servers = list(starting.map(start, ("web", "web", "edge", "edge")))
        for server in servers:
            stack.callback(stop, server)
        yield Fleet(servers[:2], servers[2:], environ)


def test_each_serves_its_role_and_no_other(fleet: Fleet) -> None:
    for web in fleet.webs:
        assert (web.edge, web.rtmp) == ("", "")
        assert httpx.get(f"{web.web}/api/health/ready").json()["data"]["status"] == "ok"
    for edge in fleet.edges:
        assert (edge.web, edge.rtmp) == ("", "")
        assert httpx.get(f"{edge.edge}/healthz").is_success
        video = httpx.get(f"{edge.edge}/live/live/demo.flv")
        assert (video.status_code, video.json()["errorCode"]) == (503, "UNAVAILABLE")
        assert int(video.headers["retry-after"]) > 0


def test_who_signs_in_at_one_is_known_to_all(fleet: Fleet) -> None:
    with fleet.webs[0].client("fleet@example.test") as client:
        token = client.headers["Authorization"]
    for web in fleet.webs:
        answer = httpx.get(f"{web.web}/api/auth/me", headers={"Authorization": token})
        assert answer.json()["data"]["email"] == "fleet@example.test", answer.text
    for edge in fleet.edges:
        with httpx.Client(base_url=edge.edge, cookies={"access_token": token.removeprefix("Bearer ")}) as viewer:
            path = f"{POLLING}&sid={json.loads(viewer.get(POLLING).text[1:])['sid']}"
            assert viewer.post(path, content=b"40").text == "ok"
            assert "guestToken" not in viewer.get(path).text


def test_edges_of_one_folder_hand_over(fleet: Fleet) -> None:
    first, second = fleet.edges
    path = f"{POLLING}&sid={json.loads(httpx.get(first.edge + POLLING).text[1:])['sid']}"
    assert httpx.post(second.edge + path, content=b"40").text == "ok"
    assert httpx.get(second.edge + path).text.startswith("40{")
    assert second.metric("dorami_handover_given") == first.metric("dorami_handover_taken") == 2


def test_one_delivers_what_any_of_them_did(fleet: Fleet) -> None:
    assert sum(web.metric("dorami_outbox_is_deliverer") for web in fleet.webs) == 1
    assert eventually(lambda: sum(web.metric("dorami_sole_worker_is_holder") for web in fleet.webs)) == 1
    for web in fleet.webs:
        delivered = sum(each.metric("dorami_outbox_delivered") for each in fleet.webs)
        with web.client("seller@example.test", role="ADMIN") as seller:
            assert seller.post("/api/streams", json={"title": "가을"}).status_code == 201
        eventually(lambda: sum(each.metric("dorami_outbox_delivered") for each in fleet.webs) > delivered)  # noqa: B023


def test_the_other_takes_over_when_the_deliverer_is_killed(fleet: Fleet) -> None:
    holder = next(web for web in fleet.webs if web.metric("dorami_outbox_is_deliverer"))
    other = next(web for web in fleet.webs if web is not holder)
    holder.kill()
    eventually(lambda: other.metric("dorami_outbox_is_deliverer") == other.metric("dorami_sole_worker_is_holder") == 1)


@pytest.mark.parametrize("role", ["web", "edge"])
def test_what_is_missing_is_named(role: str, fleet: Fleet, short_tmp: Path) -> None:
    command = [sys.executable, "-m", "dorami_core.cli", role, "--data", str(short_tmp / "nothing")]
    clean = {name: value for name, value in os.environ.items() if name not in fleet.environ}
    for given in ({}, {name: fleet.environ[name] for name in ("DATABASE_URL", "JWT_SECRET")}):
        refused = subprocess.run(
            command, env={**clean, **given}, capture_output=True, text=True, timeout=60, check=False
        )
        assert refused.returncode == 1
        assert "Traceback" not in refused.stderr
        for name in fleet.environ:
            assert (name in refused.stderr) == (name not in given), refused.stderr
    assert not (short_tmp / "nothing").exists()


def test_a_role_beside_an_up_shares_its_secrets_and_its_video(fleet: Fleet, short_tmp: Path) -> None:
    servers = {name: fleet.environ[name] for name in ("DATABASE_URL", "REDIS_URL")}
    data = short_tmp / "beside"
    with running_dorami(data, "--demo", environ=servers) as whole, whole.client("minji@example.test") as client:
        with running_dorami(data, role="edge", environ=servers) as edge:
            token = client.headers["Authorization"].removeprefix("Bearer ")
            with httpx.Client(base_url=edge.edge, cookies={"access_token": token}) as viewer:
                path = f"{POLLING}&sid={json.loads(viewer.get(POLLING).text[1:])['sid']}"
                assert viewer.post(path, content=b"40").text == "ok"
                assert "guestToken" not in viewer.get(path).text
            with httpx.stream("GET", f"{edge.edge}/live/live/demo.flv", timeout=60) as video:
                assert next(video.iter_raw()).startswith(b"FLV\x01")


def test_a_broadcast_that_ends_elsewhere_is_cut_here(fleet: Fleet, short_tmp: Path) -> None:
    """The publisher is with an `up`; the seller says that it is over at a web process."""
    web = next(web for web in fleet.webs if web.process.poll() is None)
    with running_dorami(short_tmp / "ended", "--demo", environ=fleet.environ) as whole:
        with httpx.stream("GET", f"{whole.edge}/live/live/demo.flv", timeout=60) as video:
            parts = video.iter_raw()
            next(parts)
            with web.client("seller@example.test", role="ADMIN") as seller:
                assert seller.post("/api/streams/demo/end").status_code == 200
            for _ in parts:
                continue  # to its end
        eventually(lambda: httpx.get(f"{whole.edge}/live/live/demo.flv").status_code == 404)
