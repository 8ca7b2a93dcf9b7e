"""Makes HOOKS.md from the code: every hook with its exact signature.

`python -m dorami_core.hooks.document` writes the file beside this one.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path

from dorami_core.hooks.loader import find_plugins, in_order
from dorami_core.hooks.specs import CoreHooks

FILE = Path(__file__).with_name("HOOKS.md")

INTRODUCTION = """# Hooks

Made from the code by `python -m dorami_core.hooks.document`; a test compares them.

The prefix says when a hook runs. `register_*`: once at boot, sync. `authorize_*`, `validate_*`: before something
happens; raise `DoramiError` to refuse it. `adjust_*`, `filter_*`: take `value`, return the next one. `choose_*`: the
first answer that is not None. `*_in_tx`: inside the transaction, an error rolls it back. `on_*`: after the commit, from
the outbox, at least once, in order per aggregate; be idempotent by `meta.id`.

An implementation names only the arguments that it wants. It has five seconds, then what it is part of is refused with
PLUGIN_TIMEOUT, and an `on_*` is tried again. Order: the plugin that was registered last is called first;
`@hookimpl(tryfirst=True)` and `trylast=True` change it. Wrappers are refused.
"""


def document(groups: Iterable[tuple[str, type]]) -> str:
    """Markdown: a heading for each group, a heading with its signature for each hook."""
    parts = [INTRODUCTION]
    for title, specs in groups:
        parts.append(f"## {title}\n")
        for name, function in vars(specs).items():
            if not inspect.isfunction(function) or name.startswith("_"):
                continue
            signature = inspect.signature(function)
            shown = signature.replace(parameters=[p for p in signature.parameters.values() if p.name != "self"])
            kind = "async def" if inspect.iscoroutinefunction(function) else "def"
            parts.append(f"### {name}\n\n    {kind} {name}{shown}\n\n{inspect.getdoc(function)}\n")
    return "\n".join(parts)


def all_groups() -> list[tuple[str, type]]:
    groups: list[tuple[str, type]] = [("The core", CoreHooks)]
    for plugin in in_order(find_plugins()):
        register = getattr(plugin, "register_hookspecs", None)
        if register is not None:
            groups.append((plugin.name, register()))
    return groups


if __name__ == "__main__":
    FILE.write_text(document(all_groups()), "utf-8")
