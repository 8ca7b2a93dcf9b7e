"""The error envelope of HTTP, the same on both listeners."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dorami_core.base.clock import iso
from dorami_core.base.errors import DoramiError, ErrorCatalogue, Lang
from dorami_core.base.structure import to_json


def error_envelope(
    error: DoramiError, catalogue: ErrorCatalogue, lang: Lang, now: datetime
) -> tuple[int, dict[str, Any]]:
    """Status and `{"statusCode", "errorCode", "message", "timestamp", "details"?}`.

    A code that the catalogue lacks is INTERNAL_ERROR, and its details stay here.
    """
    row = catalogue[error.code]
    body: dict[str, Any] = {
        "statusCode": row.http_status,
        "errorCode": row.code,
        "message": catalogue.sentence(error.code, lang),
        "timestamp": iso(now),
    }
    if error.details and row.code == error.code:
        body["details"] = to_json(error.details)
    return row.http_status, body
