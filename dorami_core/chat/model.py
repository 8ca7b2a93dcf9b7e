"""A message, and what is too long for one."""

from __future__ import annotations

from typing import Any

import attrs
import regex  # type: ignore[import-untyped]

from dorami_core.base.errors import DoramiError, invalid
from dorami_core.base.principal import Role

HISTORY_KEPT = 100
HISTORY_SENT = 50
HISTORY_S = 24 * 3600
MAX_CLIENT_ID_CHARS = 128
CODE_POINTS_PER_CHARACTER = 16
"""A grapheme cluster may be made of any number of marks; on average no more than this many are taken."""

_CLUSTER = regex.compile(r"\X")


@attrs.frozen
class ChatMessage:
    """As it is sent and kept; `role` is the sender's at that time, `timestamp` is ISO-8601, `seq` counts from 1 within
    the room's `epoch`."""

    id: str
    live_id: str
    user_id: str
    display_name: str
    role: Role
    message: str
    timestamp: str
    seq: int
    epoch: str


@attrs.frozen
class Receipt:
    """The answer to the sender."""

    id: str
    seq: int
    timestamp: str


def check_text(text: str, max_chars: int) -> None:
    """VALIDATION_FAILED for a message that is empty or has more than `max_chars` grapheme clusters (UAX 29)."""
    if not text.strip():
        raise _refused("must not be empty")
    if len(text) <= max_chars:
        return
    if len(text) > max_chars * CODE_POINTS_PER_CHARACTER:
        raise _refused(f"must have at most {max_chars} characters", maxChars=max_chars)
    if sum(1 for _ in _CLUSTER.finditer(text)) > max_chars:
        raise _refused(f"must have at most {max_chars} characters", maxChars=max_chars)


def check_client_id(client_id: str | None) -> None:
    if client_id is not None and not 1 <= len(client_id) <= MAX_CLIENT_ID_CHARS:
        raise invalid("clientId", f"must have 1 to {MAX_CLIENT_ID_CHARS} characters")


def _refused(problem: str, **facts: Any) -> DoramiError:
    return DoramiError("VALIDATION_FAILED", fields=[{"field": "message", "problem": problem}], **facts)
