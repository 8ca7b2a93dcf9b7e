"""Who may write where, and what a newcomer is told of it. Asks memory alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from dorami_core.base.clock import Clock, iso
from dorami_core.base.errors import DoramiError
from dorami_core.base.principal import Principal
from dorami_core.base.structure import to_json
from dorami_core.chat.bans import Bans
from dorami_core.chat.rules import RoomMode, RulesCopy


class Standing:
    """Staff (ADMIN and moderators) pass all checks but that for a ban."""

    def __init__(self, rules: RulesCopy, bans: Bans, clock: Clock) -> None:
        self._rules = rules
        self._bans = bans
        self._clock = clock

    def is_staff(self, principal: Principal) -> bool:
        return self._rules.now.is_staff(principal)

    def check_ban(self, principal: Principal) -> None:
        """FORBIDDEN for a banned user."""
        self._bans.admit(principal)

    def check(self, principal: Principal, live_id: str) -> None:
        """FORBIDDEN for a banned user, CHAT_TIMED_OUT with the time left, CHAT_FROZEN."""
        self._bans.admit(principal)
        rules = self._rules.now
        if principal.user is None or rules.is_staff(principal):
            return
        until = rules.timeouts.get(principal.user.id)
        now = self._clock.now()
        if until is not None and until > now:
            raise DoramiError("CHAT_TIMED_OUT", retry_after_ms=_ms(until - now), until=iso(until))
        if rules.room(live_id).frozen:
            raise DoramiError("CHAT_FROZEN")

    def check_words(self, principal: Principal, message: str) -> None:
        """CHAT_WORD_REFUSED; which word it was is not said, for that would teach how to get around it."""
        rules = self._rules.now
        if not rules.is_staff(principal) and rules.words.are_in(message):
            raise DoramiError("CHAT_WORD_REFUSED")

    def slow_s(self, live_id: str) -> int:
        """Seconds between two messages of one person who is no staff; 0: off."""
        return self._rules.now.room(live_id).slow_s

    def state(self, principal: Principal, live_id: str) -> dict[str, Any]:
        """Of the room, and of the person who comes in."""
        rules = self._rules.now
        mode = rules.room(live_id)
        until = None if principal.user is None else rules.timeouts.get(principal.user.id)
        return {
            **describe(live_id, mode),
            "pinned": to_json(mode.pinned),
            "isModerator": rules.is_staff(principal),
            "timedOutUntil": iso(until) if until is not None and until > self._clock.now() else None,
        }


def describe(live_id: str, mode: RoomMode) -> dict[str, Any]:
    """The data of `chat:mode`."""
    return {"liveId": live_id, "frozen": mode.frozen, "slowSeconds": mode.slow_s}


def _ms(span: timedelta) -> int:
    return max(1, round(span.total_seconds() * 1000))
