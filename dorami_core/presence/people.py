"""Who is here: the sockets of this process as people, and what the ledger has been told of them."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from dorami_core.base.ids import ViewerId
from dorami_core.base.principal import Principal, UserIdentity
from dorami_core.presence.ledger import Change


@attrs.define(eq=False)
class Audience:
    """The people of one stream. `here` has their number of sockets; `told` is what the ledger has of this process."""

    stream_key: str
    here: dict[ViewerId, int] = attrs.field(factory=dict)
    users: dict[ViewerId, UserIdentity] = attrs.field(factory=dict)
    told: set[ViewerId] = attrs.field(factory=set)
    touched: set[ViewerId] = attrs.field(factory=set)
    needs_number: bool = False
    highest: int = 0
    is_lost: bool = False
    """The ledger may know anything of us here, so it is told everything."""

    def add(self, principal: Principal) -> None:
        viewer = principal.viewer_id
        sockets = self.here.get(viewer, 0)
        self.here[viewer] = sockets + 1
        if not sockets:
            self.touched.add(viewer)
            if principal.user is not None:
                self.users[viewer] = principal.user

    def remove(self, viewer: ViewerId) -> None:
        sockets = self.here[viewer] - 1
        if sockets:
            self.here[viewer] = sockets
        else:
            del self.here[viewer]
            self.touched.add(viewer)

    def forget(self) -> None:
        """What the ledger was told counts no more."""
        self.is_lost = True
        self.touched = {*self.here, *self.told}

    def take_change(self) -> Change:
        """What the ledger does not know yet; from now on `touched` collects anew."""
        touched, self.touched = self.touched, set()
        change = Change(
            self.stream_key,
            joined=tuple(viewer for viewer in touched if viewer in self.here and viewer not in self.told),
            left=tuple(viewer for viewer in touched if viewer not in self.here and viewer in self.told),
            held=len(self.told),
            members=tuple(self.here) if self.is_lost else None,
            needs_number=self.needs_number,
        )
        self.needs_number = False
        self._drop_names(viewer for viewer in touched if viewer not in self.told)
        return change

    def accept(self, change: Change) -> None:
        """The ledger has taken the change; who left has no name any more."""
        if change.members is not None:
            self.told = set(change.members)
        else:
            self.told.update(change.joined)
            self.told.difference_update(change.left)
        self.is_lost = False
        self._drop_names(change.left)

    def names(self, viewers: Iterable[ViewerId]) -> list[UserIdentity]:
        """Those who are signed in."""
        return [user for viewer in viewers if (user := self.users.get(viewer)) is not None]

    def _drop_names(self, viewers: Iterable[ViewerId]) -> None:
        for viewer in viewers:
            if viewer not in self.here:
                self.users.pop(viewer, None)

    @property
    def is_over(self) -> bool:
        return not (self.here or self.told or self.touched or self.needs_number)
