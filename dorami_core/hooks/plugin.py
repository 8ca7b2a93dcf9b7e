"""What a plugin is."""

from __future__ import annotations


class Plugin:
    """Base of every plugin. The entry point in group `dorami.plugins` names a subclass; the loader makes one of it.

    `name` is the entry point's name and the prefix of its tables; `requires` names plugins whose `api.py` and
    `hookspecs.py` it imports: they are registered and migrated first.
    """

    name: str
    requires: tuple[str, ...] = ()
