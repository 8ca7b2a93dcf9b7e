"""The process as a whole: it starts, stops in order, refuses a second one, and says what is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from dorami_core.testing.server import RunningDorami, eventually, running_dorami, start_dorami


def dorami(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dorami_core.cli", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything_in_order(number: signal.Signals, short_tmp: Path) -> None:
    server = start_dorami(short_tmp / f"signal{number}", "--demo")
    children = psutil.Process(server.process.pid).children(recursive=True)
    assert len(children) >= 3, "PostgreSQL, Redis and a worker at the least"
    with httpx.stream("GET", f"{server.edge}/live/live/demo.flv") as viewer:
        next(viewer.iter_raw())
        server.process.send_signal(number)
        assert server.process.wait(10) == 0, server.log.read_text("utf-8")
    assert [child for child in children if child.is_running()] == []


def test_no_child_outlives_a_killed_parent(short_tmp: Path) -> None:
    server = start_dorami(short_tmp / "orphans", "--demo")
    children = psutil.Process(server.process.pid).children(recursive=True)
    server.kill()
    eventually(lambda: not any(child.is_running() and child.status() != "zombie" for child in children))
    with running_dorami(short_tmp / "orphans") as again:
        assert httpx.get(f"{again.web}/api/streams/demo").is_success


def test_a_data_directory_has_one_owner(demo: RunningDorami) -> None:
    second = dorami("up", "--data", str(demo.data), "--web-port", "0", "--edge-port", "0", "--rtmp-port", "0")
    assert second.returncode == 1
    assert str(demo.data) in second.stderr
    assert "Traceback" not in second.stderr


def test_secrets_are_for_their_owner_alone(demo: RunningDorami) -> None:
    kept = list((demo.data / "secrets").iterdir())
    assert {file.name for file in kept} == {"jwt_secret", "profile_encryption_key"}
    assert {file.stat().st_mode & 0o777 for file in kept} == {0o600}
    assert demo.data.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"DORAMI_CART__HOLD_S": "-1"}, ["DORAMI_CART__HOLD_S", "cart.hold_s", "above 0"]),
        ({"DORAMI_CART__HOLD": "1"}, ["DORAMI_CART__HOLD"]),
        ({"APP_ENV": "production"}, ["JWT_SECRET", "PROFILE_ENCRYPTION_KEY"]),
        ({"APP_ENV": "prod"}, ["APP_ENV", "production"]),
        ({"DATABASE_URL": "postgres://127.0.0.1:1/none"}, ["database"]),
    ],
)
def test_what_is_wrong_is_named(environ: dict[str, str], named: list[str], short_tmp: Path) -> None:
    refused = dorami("up", "--data", str(short_tmp / "wrong"), **environ)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    for word in named:
        assert word in refused.stderr


def test_check(short_tmp: Path) -> None:
    well = dorami("check", "--data", str(short_tmp / "check"))
    assert well.returncode == 0, well.stdout
    assert "embedded" in well.stdout
    ill = dorami("check", "--data", str(short_tmp / "check"), REDIS_URL="redis://127.0.0.1:1/0", CSRF_ENABLED="perhaps")
    assert ill.returncode == 1
    assert "CSRF_ENABLED" in ill.stdout
    assert not (short_tmp / "check").exists(), "it only looks"
