"""Who is not let in."""

from __future__ import annotations

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import UserId, ViewerId
from dorami_core.base.principal import Principal
from dorami_core.chat.rules import Rules, RulesCopy
from dorami_core.hooks.sockets import Rooms

REASON = "banned"


class Bans:
    """Asks the copy of the rules, so it costs nothing and needs neither database nor Redis.

    A ban of another process may come in between a CONNECT and the copy's next look: whoever is newly banned then is
    cut here too.
    """

    def __init__(self, rules: RulesCopy, rooms: Rooms) -> None:
        self._rules = rules
        self._rooms = rooms
        rules.on_change.append(self._cut_new)

    def admit(self, principal: Principal) -> None:
        """For every CONNECT and every recovery: FORBIDDEN with `details.reason` "banned" for a banned user."""
        if principal.user is not None and principal.user.id in self._rules.now.banned:
            raise DoramiError("FORBIDDEN", reason=REASON)

    def cut(self, user_id: UserId) -> None:
        """Ends the user's connections, in every process."""
        self._rooms.cut_viewer(ViewerId(f"u:{user_id}"), REASON)

    def _cut_new(self, before: Rules, after: Rules) -> None:
        if before.version == 0:  # the first copy of this process: nobody is connected
            return
        for user_id in after.banned - before.banned:
            self.cut(user_id)
