"""The built bundle: everything the pages name is in it, and the live page is light before it plays."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import dorami_storefront
from dorami_storefront.assets import Assets

DIST = Path(dorami_storefront.__file__).parent / "static/dist"
FIRST_VIEW_BYTES = 150_000


def test_all_entries_are_built() -> None:
    assets = Assets.load(DIST)
    for name in ("style.css", "icons.svg", "site.ts", "live.ts", "admin.ts"):
        assert (DIST / assets[name].removeprefix("/static/dorami_storefront/dist/")).is_file()


def test_the_live_page_is_light_before_it_plays() -> None:
    manifest = json.loads((DIST / "manifest.json").read_text("utf-8"))
    wanted, files = ["src/site.ts", "src/live.ts"], set[str]()
    while wanted:
        entry = manifest[wanted.pop()]
        if entry["file"] not in files:
            files.add(entry["file"])
            wanted += entry.get("imports", [])
    assert not any("mpegts" in file or "hls" in file for file in files)
    assert sum(len(gzip.compress((DIST / file).read_bytes())) for file in files) < FIRST_VIEW_BYTES
