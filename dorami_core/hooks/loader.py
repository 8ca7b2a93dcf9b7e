"""Finds, orders and registers plugins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points

import pluggy

from dorami_core.hooks.markers import PROJECT
from dorami_core.hooks.plugin import Plugin
from dorami_core.hooks.specs import CoreHooks

GROUP = "dorami.plugins"


class PluginError(Exception):
    """A plugin cannot be loaded; the sentence says which and why."""


def find_plugins() -> list[Plugin]:
    """One of every class that an installed package names in the entry-point group `dorami.plugins`."""
    found = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            kind = entry.load()
        except Exception as error:
            raise PluginError(f"plugin {entry.name} cannot be imported: {error}") from error
        if not (isinstance(kind, type) and issubclass(kind, Plugin)):
            raise PluginError(f"plugin {entry.name}: {entry.value} is no subclass of dorami_core.hooks.Plugin")
        plugin = kind()
        if plugin.name != entry.name:
            raise PluginError(f"plugin {entry.name} calls itself {plugin.name}")
        found.append(plugin)
    return found


def in_order(plugins: Iterable[Plugin]) -> list[Plugin]:
    """What is required comes before what requires it; PluginError for a missing name or a circle."""
    by_name: Mapping[str, Plugin] = {plugin.name: plugin for plugin in plugins}
    ordered: list[Plugin] = []
    entered: set[str] = set()

    def visit(plugin: Plugin, path: tuple[str, ...]) -> None:
        if plugin.name in path:
            raise PluginError("plugins require each other: " + " -> ".join((*path, plugin.name)))
        if plugin.name in entered:
            return
        for name in plugin.requires:
            if name not in by_name:
                raise PluginError(f"plugin {plugin.name} requires {name}, which is not installed")
            visit(by_name[name], (*path, plugin.name))
        entered.add(plugin.name)
        ordered.append(plugin)

    for plugin in by_name.values():
        visit(plugin, ())
    return ordered


def make_manager(plugins: Iterable[Plugin], internal: Iterable[Plugin] = ()) -> pluggy.PluginManager:
    """A manager with the core's specs, those of the plugins, and every plugin registered in order.

    An implementation of a hook that no spec names, or a hook wrapper, is refused with PluginError.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(CoreHooks)
    for plugin in (*internal, *in_order(plugins)):
        try:
            manager.register(plugin, plugin.name)
        except (ValueError, pluggy.PluginValidationError) as error:
            raise PluginError(f"plugin {plugin.name}: {error}") from error
        register = getattr(plugin, "register_hookspecs", None)
        if register is not None:
            manager.add_hookspecs(register())
        for caller in manager.get_hookcallers(plugin) or ():
            for impl in caller.get_hookimpls():
                if impl.hookwrapper or impl.wrapper:
                    raise PluginError(f"plugin {plugin.name}: {caller.name} is a wrapper; wrappers are not offered")
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(str(error)) from error
    return manager


class Loaded:
    """The plugins of this process, in the order of what they require, and pluggy's manager over them."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self.ordered = tuple(in_order(plugins))
        self.manager = make_manager(self.ordered)

    def add_internal(self, plugin: Plugin) -> None:
        """A subscriber of the core's own, known by its name like any plugin."""
        self.manager.register(plugin, plugin.name)

    def settings_sections(self) -> dict[str, type]:
        """By section name; PluginError where two plugins want the same."""
        found: dict[str, type] = {}
        for plugin in self.ordered:
            register = getattr(plugin, "register_settings", None)
            if register is None:
                continue
            name, kind = register()
            if name in found:
                raise PluginError(f"plugin {plugin.name}: the settings section [{name}] is taken")
            found[name] = kind
        return found


def load_plugins() -> Loaded:
    """Every installed plugin."""
    return Loaded(find_plugins())
