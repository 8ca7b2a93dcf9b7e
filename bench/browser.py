"""A Chromium for benches that look at what a viewer sees."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.target import CannotRun

NAMES = ("chromium", "chromium-browser", "google-chrome")
VIEWPORT = {"width": 390, "height": 844}
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--autoplay-policy=no-user-gesture-required")


@contextmanager
def open_browser() -> Iterator[Any]:
    """Playwright's browser for as long as the block runs; CannotRun without Playwright or a Chromium in CHROMIUM_BIN
    or on PATH."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise CannotRun("it needs Playwright, which is among the development dependencies") from error
    found = os.environ.get("CHROMIUM_BIN") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise CannotRun("it needs Chromium: put it on PATH, or name it in CHROMIUM_BIN")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()
