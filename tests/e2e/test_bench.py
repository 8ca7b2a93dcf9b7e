"""Each load test runs, very small, and says what it found. What it would find on a quiet machine is not asked here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dorami_core.testing.server import running_dorami

ROOT = Path(__file__).parents[2]
KEYS = {"bench", "version", "params", "results", "ratios", "bounds", "violations"}


@pytest.fixture(scope="module")
def target(short_tmp: Path) -> Iterator[list[str]]:
    """The options that name a Dorami which is up already, and two who may write in it and make broadcasts."""
    exempt = {"DORAMI_LIMITS__EXEMPT_ADDRESSES": '["127.0.0.1"]'}
    tokens = short_tmp / "tokens"
    with running_dorami(short_tmp / "bench", environ=exempt) as server:
        with tokens.open("w") as file:
            for number in range(2):
                with server.client(f"bench{number}@example.test", role="ADMIN") as client:
                    print(client.headers["Authorization"].removeprefix("Bearer "), file=file)
        yield ["--target", server.web, "--edge", server.edge, "--rtmp", server.rtmp, "--tokens", str(tokens)]


def run_bench(name: str, *arguments: str, artefacts: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench", name, *arguments, "--artefacts", str(artefacts)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    line: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    assert set(line) == KEYS
    assert (line["bench"], line["violations"], line["bounds"]) == (name, [], [])
    assert "bench " + name in run.stderr, "the table"
    with Image.open(artefacts / f"bench-{name}.png") as picture:
        assert len(picture.getcolors(1 << 20)) > 10, "something was drawn"
    return line


def test_fanout_beside_both_rivals(tmp_path: Path) -> None:
    options = ["--viewers", "25", "--rate", "10", "--seconds", "1", "--senders", "2", "--peer", "--floor"]
    line = run_bench("fanout", *options, artefacts=tmp_path)
    results, ratios = line["results"], line["ratios"]
    for prefix in ("", "peer_", "floor_"):
        assert (results[f"{prefix}messages"], results[f"{prefix}deliveries"]) == (10, 10 * 27)
        assert results[f"{prefix}latency_p50_ms"] > 0
        assert results[f"{prefix}load_cores_busy"] > 0
        assert {f"{prefix}cpu_us_per_delivery", f"{prefix}memory_bytes_per_viewer"} <= set(results)
    assert (results["peer_violations"], results["floor_violations"]) == (0, 0)
    assert {"latency_p50_ms / peer", "latency_p99_ms / floor"} <= set(ratios)
    assert ratios["latency_p50_ms / peer"] == results["latency_p50_ms"] / results["peer_latency_p50_ms"]


def test_joinstorm_beside_the_peer(target: list[str], tmp_path: Path) -> None:
    options = ["--viewers", "30", "--rate", "60", "--stay", "0.5", "--peer"]
    results = run_bench("joinstorm", *options, *target, artefacts=tmp_path)["results"]
    assert (results["joined"], results["failures"], results["peer_joined"]) == (30, 0, 30)
    assert results["snapshot_bytes"] == results["peer_snapshot_bytes"] > 1000, "six products are in it"
    assert 0 < results["join_p50_ms"] <= results["join_p99_ms"]


def test_joinstorm_over_polling(target: list[str], tmp_path: Path) -> None:
    options = ["--viewers", "20", "--rate", "60", "--stay", "0.5", "--polling"]
    results = run_bench("joinstorm", *options, *target, artefacts=tmp_path)["results"]
    assert (results["joined"], results["failures"]) == (20, 0)


def test_slow_consumers(target: list[str], tmp_path: Path) -> None:
    options = ["--viewers", "30", "--stalled", "6", "--rate", "20", "--seconds", "1", "--stall", "1"]
    results = run_bench("slow-consumers", *options, *target, artefacts=tmp_path)["results"]
    assert (results["messages"], results["stalled"], results["cut"]) == (40, 6, 0)
    assert results["latency_p99_after_ms"] > 0
    assert "kernel_bytes_per_stalled" in results


def test_expiry_with_a_kill_in_the_middle(tmp_path: Path) -> None:
    results = run_bench("expiry", "--timers", "100", "--over", "2", artefacts=tmp_path)["results"]
    assert (results["timers"], results["lost"], results["twice"]) == (100, 0, 0)
    assert results["lag_p50_ms"] > 0
    assert results["late_by_the_kill"] > 0


def test_a_small_flash_sale(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "flashsale", "--buyers", "30", "--stock", "7", "--rush-only"]
    run = subprocess.run(
        [*command, "--artefacts", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    results = json.loads(run.stdout.splitlines()[-1])["results"]
    assert (results["buyers"], results["won"], results["waiting"]) == (30, 7, 23)
    assert results["answer_p99_ms"] > 0


@pytest.mark.parametrize("name", ["relay", "latency"])
def test_a_broadcast_to_viewers_beside_the_peer(name: str, target: list[str], tmp_path: Path) -> None:
    options = ["--viewers", "20", "--seconds", "1", "--kbps", "600", "--peer"]
    srs = os.environ.get("DORAMI_SRS_BIN")
    rivals = ("", "peer_", "srs_") if srs else ("", "peer_")
    results = run_bench(name, *options, *(["--peer-srs", srs] if srs else []), *target, artefacts=tmp_path)["results"]
    for prefix in rivals:
        assert (results[f"{prefix}viewers"], results[f"{prefix}missing_frames"]) == (20, 0)
        assert 0 < results[f"{prefix}delay_p50_ms"] <= results[f"{prefix}delay_p99_ms"]
        assert 0 < results[f"{prefix}first_frame_p50_ms"] <= results[f"{prefix}first_frame_p99_ms"]
        assert results[f"{prefix}megabits_out_per_s"] > 20 * 0.3
    assert results["peer_cpu_s_per_viewer_second"] >= 0


def test_hls_behind_live(chromium: str, target: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM_BIN", chromium)
    options = ["--seconds", "1", "--settle", "1", "--viewers", "5"]
    results = run_bench("hls", *options, *target, artefacts=tmp_path)["results"]
    for name in ("low_latency", "plain"):
        assert results[f"{name}_frames"] > 0
        assert 0 < results[f"{name}_behind_p50_ms"] <= results[f"{name}_behind_max_ms"]
    assert (results["viewers"], results["viewers_refused"]) == (5, 0)
    assert results["viewers_part_age_p99_ms"] > 0


def test_a_target_off_this_machine_is_loaded_by_its_owner_only(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "fanout", "--target", "http://192.0.2.1", "--artefacts", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 2
    assert "--i-own-this-target" in run.stderr
