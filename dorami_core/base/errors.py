"""Domain errors: a stable code for machines, a sentence in two languages for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import attrs

Lang = Literal["ko", "en"]


@attrs.frozen
class ErrorCode:
    """One row of the error catalogue."""

    code: str
    http_status: int
    ko: str
    en: str
    retryable: bool = False


class DoramiError(Exception):
    """A command was refused and nothing changed.

    `code` names a row of the catalogue, `details` are JSON-able facts about this one case.
    """

    def __init__(self, code: str, /, *, retry_after_ms: int | None = None, **details: Any) -> None:
        super().__init__(code, details)
        self.code = code
        self.retry_after_ms = retry_after_ms
        self.details = details

    def __str__(self) -> str:
        return f"{self.code} {self.details}" if self.details else self.code


def invalid(field: str, problem: str) -> DoramiError:
    """VALIDATION_FAILED about one field, by the name that a client uses."""
    return DoramiError("VALIDATION_FAILED", fields=[{"field": field, "problem": problem}])


CORE_CODES = (
    ErrorCode("VALIDATION_FAILED", 400, "입력한 내용을 다시 확인해 주세요.", "Please check what you entered."),
    ErrorCode("UNAUTHORIZED", 401, "로그인이 필요해요.", "Please sign in first."),
    ErrorCode("FORBIDDEN", 403, "이 작업을 할 권한이 없어요.", "You are not allowed to do this."),
    ErrorCode(
        "CSRF_INVALID", 403, "페이지를 새로 고친 뒤 다시 시도해 주세요.", "Please reload the page and try again."
    ),
    ErrorCode(
        "CHAT_WORD_REFUSED", 400, "쓸 수 없는 말이 들어 있어요.", "This contains a word that is not allowed here."
    ),
    ErrorCode("CHAT_TIMED_OUT", 403, "잠시 채팅을 쉬고 있어요.", "You cannot chat for a while."),
    ErrorCode(
        "CHAT_FROZEN", 403, "지금은 판매자만 채팅할 수 있어요.", "Only the seller can write right now.", retryable=True
    ),
    ErrorCode("NOT_FOUND", 404, "찾을 수 없어요.", "Not found."),
    ErrorCode("STREAM_NOT_FOUND", 404, "방송을 찾을 수 없어요.", "This broadcast does not exist."),
    ErrorCode("USER_NOT_FOUND", 404, "사용자를 찾을 수 없어요.", "This user does not exist."),
    ErrorCode("MESSAGE_NOT_FOUND", 404, "메시지를 찾을 수 없어요.", "This message does not exist."),
    ErrorCode("METHOD_NOT_ALLOWED", 405, "지원하지 않는 요청이에요.", "This method is not supported here."),
    ErrorCode(
        "CONFLICT",
        409,
        "지금 상태에서는 할 수 없어요. 바뀐 것은 없어요.",
        "This is not possible in the present state; nothing was changed.",
    ),
    ErrorCode("PAYLOAD_TOO_LARGE", 413, "내용이 너무 커요.", "This is too large."),
    ErrorCode("MISDIRECTED_REQUEST", 421, "이 주소로는 접속할 수 없어요.", "This host name is not served here."),
    ErrorCode("RATE_LIMITED", 429, "조금 천천히 해 주세요.", "Please slow down a little.", retryable=True),
    ErrorCode(
        "CHAT_SLOW_MODE",
        429,
        "느린 채팅이 켜져 있어요. 잠시 뒤에 보내 주세요.",
        "Slow mode is on. Please wait a moment before you write again.",
        retryable=True,
    ),
    ErrorCode(
        "INTERNAL_ERROR",
        500,
        "문제가 생겼어요. 잠시 뒤 다시 시도해 주세요.",
        "Something went wrong. Please try again shortly.",
        retryable=True,
    ),
    ErrorCode(
        "PLUGIN_TIMEOUT",
        503,
        "처리가 늦어지고 있어요. 잠시 뒤 다시 시도해 주세요.",
        "This takes too long right now. Please try again in a moment.",
        retryable=True,
    ),
    ErrorCode(
        "UNAVAILABLE",
        503,
        "잠시 연결할 수 없어요. 다시 시도해 주세요.",
        "Temporarily unavailable. Please try again.",
        retryable=True,
    ),
)


class ErrorCatalogue:
    """All codes of the core and of the loaded plugins. Two different rows with one code are refused."""

    def __init__(self, codes: Iterable[ErrorCode] = CORE_CODES) -> None:
        self._codes: dict[str, ErrorCode] = {}
        self.add(codes)

    def add(self, codes: Iterable[ErrorCode]) -> None:
        for code in codes:
            known = self._codes.setdefault(code.code, code)
            if known != code:
                raise ValueError(f"error code {code.code} is defined twice, differently")

    def __getitem__(self, code: str) -> ErrorCode:
        return self._codes.get(code) or self._codes["INTERNAL_ERROR"]

    def all(self) -> Mapping[str, ErrorCode]:
        return dict(self._codes)

    def sentence(self, code: str, lang: Lang) -> str:
        row = self[code]
        return row.ko if lang == "ko" else row.en
