"""The encoded broadcast of the media tests, and their helpers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dorami_core.media.packets import MediaPacket

sys.path.insert(0, str(Path(__file__).parents[1] / "media"))


@pytest.fixture(scope="session")
def encoded() -> tuple[MediaPacket, ...]:
    from media_parts import encoded_packets

    return encoded_packets(4)
