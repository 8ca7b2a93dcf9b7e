"""Structured logs: one line an event, secrets taken out."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_SECRET = re.compile(r"((?:secret|token|key|password)=)[^&\s\"']+", re.IGNORECASE)
_USER_INFO = re.compile(r"(://[^\s:/@\"']*:)[^\s/@\"']+(?=@)")


def redact(text: str) -> str:
    """`?secret=abc` becomes `?secret=***`, `redis://user:abc@host` `redis://user:***@host`."""
    return _USER_INFO.sub(r"\1***", _SECRET.sub(r"\1***", text))


def _redact_values(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str) and ("=" in value or "@" in value):
            event[key] = redact(value)
    return event


def configure_logging(*, production: bool) -> None:
    """JSON lines in production, readable lines else; to stderr, so that stdout keeps the ready line."""
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if production
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,  # before the next one, since an error may quote a URL
            _redact_values,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
