"""The clients of `bench reconnect` against the reference server: what they find is in them, or in it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

import pytest

from bench import reconnect
from bench.peers.socketio import open_socketio
from bench.report import Outcome
from bench.target import Target

MESSAGES = 60
CLIENTS = 12


@pytest.fixture(scope="module")
def peer() -> Iterator[Target]:
    """Socket.IO on Node with connection state recovery. Pins this process to a core as benches do, and lets go."""
    cores = os.sched_getaffinity(0)
    with open_socketio({"BENCH_RECOVERY": "1"}) as target:
        os.sched_setaffinity(0, cores)
        yield target


def measure(peer: Target, stream: str, *arguments: str) -> Outcome:
    parser = argparse.ArgumentParser()
    reconnect.arguments(parser)
    load = ["--clients", str(CLIENTS), "--messages", str(MESSAGES), "--seconds", "2", "--gap", "1"]
    options = parser.parse_args([*load, *arguments])
    return reconnect.measure(options, peer, stream, [None, None], ("socketio",))


@pytest.mark.parametrize("client", ["light", "node"])
def test_whoever_comes_back_has_the_same_list(peer: Target, client: str) -> None:
    outcome = measure(peer, f"recovered-{client}", "--client", client)
    assert outcome.violations == []
    assert (outcome.results["clients"], outcome.results["messages"]) == (CLIENTS, MESSAGES)
    assert (outcome.results["recovered"], outcome.results["not_recovered"]) == (CLIENTS, 0)
    assert len(outcome.series[peer.name]) == CLIENTS


def test_what_is_not_recovered_is_found(peer: Target) -> None:
    """The reference server forgets whom it still believes to be there, which the bench has to notice."""
    outcome = measure(peer, "silent", "--loss", "silent")
    assert (outcome.results["recovered"], outcome.results["not_recovered"]) == (0, CLIENTS)
    assert outcome.results["gaps"] == CLIENTS
    assert float(outcome.results["missing_messages"]) > 0
    assert len(outcome.violations) == 1
