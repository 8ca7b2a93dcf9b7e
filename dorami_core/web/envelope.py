"""The shape of every answer under /api."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any

from dorami_core.base.clock import iso
from dorami_core.base.envelope import error_envelope
from dorami_core.base.errors import DoramiError, ErrorCatalogue, Lang
from dorami_core.base.structure import to_json
from dorami_core.hooks.http import Paged

JSON = "application/json"


def dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def success(data: Any, now: datetime) -> bytes:
    """`{"data", "success": true, "timestamp"}`; a Paged becomes `{"items", "nextCursor"}`."""
    if isinstance(data, Paged):
        data = {"items": data.items, "nextCursor": data.next_cursor}
    return dump({"data": to_json(data), "success": True, "timestamp": iso(now)})


def failure(error: DoramiError, catalogue: ErrorCatalogue, lang: Lang, now: datetime) -> tuple[int, bytes]:
    """Status and body of an error."""
    status, body = error_envelope(error, catalogue, lang, now)
    return status, dump(body)


def retry_after_s(error: DoramiError) -> int | None:
    """Whole seconds for Retry-After, at least 1 (RFC 9110, 10.2.3)."""
    return None if error.retry_after_ms is None else max(1, math.ceil(error.retry_after_ms / 1000))
