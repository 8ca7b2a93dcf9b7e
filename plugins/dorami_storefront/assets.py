"""The web bundle: names with hashes, as Vite's manifest gives them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import attrs

_BASE = "/static/dorami_storefront/dist/"


class BundleMissing(Exception):
    """The web assets were not built, or an asset is not among them."""


@attrs.frozen
class Assets:
    """Addresses of built files by the names of their sources (`site.ts`, `style.css`, `icons.svg`)."""

    addresses: Mapping[str, str]

    @classmethod
    def load(cls, folder: Path) -> Assets:
        """Reads `manifest.json` of the bundle; BundleMissing where there is none."""
        manifest = folder / "manifest.json"
        try:
            entries = json.loads(manifest.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BundleMissing(f"the web bundle is not there ({manifest}: {error}); run make build") from None
        return cls({source.rpartition("/")[2]: _BASE + entry["file"] for source, entry in entries.items()})

    def __getitem__(self, name: str) -> str:
        try:
            return self.addresses[name]
        except KeyError:
            raise BundleMissing(f"the web bundle has no {name}; run make build") from None
