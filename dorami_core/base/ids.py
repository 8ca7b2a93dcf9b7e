"""Typed ids. All are UUIDs but stream keys and order numbers (contract.md, HTTP)."""

from __future__ import annotations

import re
import secrets
from typing import NewType
from uuid import UUID, uuid4

UserId = NewType("UserId", UUID)
GuestId = NewType("GuestId", str)
StreamKey = NewType("StreamKey", str)
ViewerId = NewType("ViewerId", str)
"""`u:<UserId>` or `g:<GuestId>`: one person, however many sockets."""

_STREAM_KEY = re.compile(r"[a-z0-9-]{4,64}")
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


def new_uuid() -> UUID:
    return uuid4()


def new_stream_key() -> StreamKey:
    """12 characters without look-alikes, about 59 bits."""
    return StreamKey("".join(secrets.choice(_ALPHABET) for _ in range(12)))


def new_publish_secret() -> str:
    """What a seller's encoder proves itself with: 160 bits, url-safe."""
    return secrets.token_urlsafe(20)


def is_stream_key(text: str) -> bool:
    return _STREAM_KEY.fullmatch(text) is not None
