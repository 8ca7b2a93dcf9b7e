"""HLS behind live, as a browser shows it: a clock in the picture, read back from the frames on the screen."""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import trio

from bench.browser import VIEWPORT, open_browser
from bench.clock import READ_CLOCK, clock_publisher
from bench.hls_viewers import watch_all
from bench.ingest import make_seller, make_stream
from bench.report import Outcome, Series, percentile, progress
from bench.target import CannotRun, Target, add_arguments, open_target

SUMMARY = "HLS behind live by a clock in the picture, at low latency and without; many who wait for parts"
ROOT = Path(__file__).parents[1]
HLS_JS = ROOT / "plugins/dorami_storefront/web/node_modules/hls.js/dist/hls.light.min.js"
FIRST_PLAYLIST_S = 20.0
FIRST_FRAME_S = 20.0
STEP_MS = 200
STALL_MS = 700
"""A frame that stands for longer is a stall; the page says so too."""

PLAIN_PAGE = '<!doctype html><meta charset="utf-8"><title>HLS</title><video muted autoplay playsinline></video>'
PLAIN_PLAYER = """url => {
  const hls = new Hls({ lowLatencyMode: false, enableWorker: false });
  hls.on(Hls.Events.LEVEL_UPDATED, (_, { details }) => {
    hls.config.liveMaxLatencyDuration = details.holdBack + details.targetduration;
  });
  hls.loadSource(url);
  hls.attachMedia(document.querySelector("video"));
}"""


def arguments(parser: argparse.ArgumentParser) -> None:
    add_arguments(parser)
    parser.add_argument("--viewers", type=int, default=200, help="who wait for parts, after the browser; 0: none")
    parser.add_argument("--seconds", type=float, default=30.0, help="each player is looked at")
    parser.add_argument("--keyframe-s", type=float, default=1.0, help="between two key frames of the publisher")
    parser.add_argument("--settle", type=float, default=5.0, help="seconds before, in which a player finds its place")
    parser.add_argument("--tokens", type=Path, help="a file whose first line is an ADMIN's access token")


def run(options: argparse.Namespace) -> Outcome:
    with open_target(options) as target, make_seller(options, target) as client:
        stream = make_stream(client)
        address = f"{stream['publish']['url']}/{stream['publish']['key']}"
        key = stream["streamKey"]
        results: dict[str, float | int | str] = {}
        violations: list[str] = []
        series: dict[str, Series] = {}
        with clock_publisher(address, keyframe_s=options.keyframe_s), open_browser() as browser:
            _wait_for_playlist(target, key)
            for name, open_player in (("low_latency", open_page), ("plain", open_plain)):
                cpu_s, began = target.cpu_s(), time.monotonic()
                page = open_player(browser, target, key)
                seen = _look(page, name, options.settle, options.seconds)
                page.context.close()
                if not seen:
                    violations.append(f"{name}: no picture within {FIRST_FRAME_S:g} s")
                    continue
                results |= figures(name, seen, options.settle)
                if target.pid is not None:
                    results[f"{name}_server_cores_busy"] = (target.cpu_s() - cpu_s) / (time.monotonic() - began)
                series[name.replace("_", " ")] = [(at - seen[0][0], behind) for at, behind in seen]
        if options.viewers:
            with clock_publisher(address, keyframe_s=options.keyframe_s):
                _wait_for_playlist(target, key)
                results |= _load(options, target, key)
        if results.get("viewers_refused"):
            violations.append(f"{results['viewers_refused']} requests of viewers were refused")
    return Outcome(results, violations=violations, series=series, title="HLS behind live")


def open_page(browser: Any, target: Target, stream_key: str) -> Any:
    """The shop's own live page, where FLV cannot be had."""
    page = browser.new_context(base_url=target.web, viewport=VIEWPORT).new_page()
    page.route("**/*.flv*", lambda route: route.abort())
    page.goto(f"/live/{stream_key}")
    page.locator("video").evaluate(READ_CLOCK)
    return page


def open_plain(browser: Any, target: Target, stream_key: str) -> Any:
    """The same hls.js on an empty page, with low latency switched off."""
    if not HLS_JS.exists():
        raise CannotRun("hls.js is not there: `make build` brings it")
    page = browser.new_context(base_url=target.web, viewport=VIEWPORT, bypass_csp=True).new_page()
    page.goto("/login")
    page.set_content(PLAIN_PAGE)
    page.add_script_tag(path=HLS_JS)
    page.evaluate(PLAIN_PLAYER, f"{target.edge}/hls/{stream_key}.m3u8")
    page.locator("video").evaluate(READ_CLOCK)
    return page


def _load(options: argparse.Namespace, target: Target, stream_key: str) -> dict[str, float | int | str]:
    """Viewers who wait for parts, all at once."""
    cpu_s = target.cpu_s()
    counts = trio.run(watch_all, target.edge, stream_key, options.viewers, options.seconds)
    figures: dict[str, float | int | str] = {
        "viewers": options.viewers,
        "viewers_requests_per_s": counts.requests / options.seconds,
        "viewers_refused": counts.refused,
        "viewers_part_age_p50_ms": percentile(counts.ages_s, 0.5) * 1e3,
        "viewers_part_age_p99_ms": percentile(counts.ages_s, 0.99) * 1e3,
    }
    if target.pid is not None:
        cpu_s = target.cpu_s() - cpu_s
        figures["viewers_cpu_us_per_request"] = cpu_s / max(counts.requests, 1) * 1e6
        figures["viewers_server_cores_busy"] = cpu_s / options.seconds
    return figures


def _look(page: Any, name: str, settle_s: float, seconds: float) -> list[tuple[float, float]]:
    """Of each frame when it was shown, in seconds, and how far behind it was, in milliseconds; one at least is later
    than `settle_s`. Empty where none is in time."""
    rows: Callable[[], list[list[float]]] = lambda: page.evaluate("window.clockSeen")  # noqa: E731
    if not _comes_true(page, lambda: bool(rows())):
        return []
    began = time.monotonic()
    with progress(name, settle_s + seconds) as bar:
        while (passed_s := time.monotonic() - began) < settle_s + seconds:
            bar.show(passed_s)
            page.wait_for_timeout(STEP_MS)
    if not _comes_true(page, lambda: rows()[-1][0] >= rows()[0][0] + settle_s * 1000):
        return []
    return [(shown_at / 1000, behind) for shown_at, _, behind in rows()]


def _comes_true(page: Any, check: Callable[[], bool]) -> bool:
    """Whether it does within FIRST_FRAME_S."""
    deadline = time.monotonic() + FIRST_FRAME_S
    while not check():
        if time.monotonic() > deadline:
            return False
        page.wait_for_timeout(STEP_MS)
    return True


def figures(name: str, seen: list[tuple[float, float]], settle_s: float) -> dict[str, float | int | str]:
    """`seen` as `_look` gives it; what was behind in the first `settle_s` counts only for the first frame."""
    steps = [after - before for (before, _), (after, _) in itertools.pairwise(seen)]
    behind = [ms for at, ms in seen if at >= seen[0][0] + settle_s]
    return {
        f"{name}_first_frame_behind_ms": seen[0][1],
        f"{name}_behind_p50_ms": percentile(behind, 0.5),
        f"{name}_behind_p99_ms": percentile(behind, 0.99),
        f"{name}_behind_max_ms": max(behind),
        f"{name}_frames": len(seen),
        f"{name}_stalls": sum(step * 1000 > STALL_MS for step in steps),
    }


def _wait_for_playlist(target: Target, stream_key: str) -> None:
    deadline = time.monotonic() + FIRST_PLAYLIST_S
    while httpx.get(f"{target.edge}/hls/{stream_key}.m3u8").status_code != 200:
        if time.monotonic() > deadline:
            raise CannotRun(f"there was no playlist within {FIRST_PLAYLIST_S:g} s")
        time.sleep(0.1)
