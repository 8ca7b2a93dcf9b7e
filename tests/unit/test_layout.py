"""The import rules of the tree: who may know whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "dorami_core"
PLUGINS = ROOT / "plugins"

# A part may import itself, these, and nothing else of ours. What puts the parts together may import anything.
ALLOWED = {
    "base": set(),
    "runtime": {"base"},
    "events": {"base", "hooks"},
    "hooks": {"base", "events"},
    "store": {"base", "runtime", "events", "hooks"},
    "identity": {"base", "events", "hooks"},
    "media": {"base"},
    "ingest": {"base", "media"},
    "recordings": {"base", "hooks", "media"},
    "restream": {"base", "hooks", "media"},
    "streams": {"base", "events", "hooks", "ingest", "media", "presence"},
    "presence": {"base", "hooks"},
    "chat": {"base", "hooks", "streams"},
    "edge": {"base", "runtime", "hooks", "media"},
    "web": {"base", "hooks", "identity"},
}
FREE = {"studio", "app", "check", "cli", "demo", "edge_child", "fronts", "parts", "testing"}


def imported_modules(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports hide where a name comes from"
            module = node.module or ""
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def core_violations(part: str, file: Path) -> list[str]:
    if part in FREE:
        return []
    allowed = ALLOWED[part] | {part}
    names = (module.split(".") for module in imported_modules(file))
    return sorted(
        {".".join(name) for name in names if name[0] == "dorami_core" and name[1:2] and name[1] not in allowed}
    )


def plugin_violations(plugin: str, requires: set[str], file: Path) -> list[str]:
    wrong = set()
    for module in imported_modules(file):
        name = module.split(".")
        if name[0] == "dorami_core" and name[1:2] != ["hooks"]:
            wrong.add(module)
        if (
            name[0] == "dorami_core"
            and len(name) > 2
            and name[2].islower()
            and (CORE / "hooks" / f"{name[2]}.py").exists()
        ):
            wrong.add(module)
        is_other = name[0].startswith("dorami_") and name[0] not in ("dorami_core", plugin)
        if is_other and (name[0] not in requires or name[1:2] not in (["api"], ["hookspecs"])):
            wrong.add(module)
        if name[0] in ("asyncio", "asyncpg", "redis"):
            wrong.add(module)
    return sorted(wrong)


def core_files() -> list[tuple[str, Path]]:
    return [
        (file.relative_to(CORE).parts[0].removesuffix(".py"), file)
        for file in sorted(CORE.rglob("*.py"))
        if file != CORE / "__init__.py"
    ]


def requires_of(plugin: Path) -> set[str]:
    tree = ast.parse((plugin / "plugin.py").read_text("utf-8"))
    for node in ast.walk(tree):
        target = (
            node.targets[0]
            if isinstance(node, ast.Assign)
            else node.target
            if isinstance(node, ast.AnnAssign)
            else None
        )
        if isinstance(target, ast.Name) and target.id == "requires" and isinstance(node.value, ast.Tuple):  # type: ignore[attr-defined]
            return {element.value for element in node.value.elts}  # type: ignore[attr-defined]
    return set()


PLUGIN_FOLDERS = sorted(folder for folder in PLUGINS.iterdir() if (folder / "plugin.py").exists())


@pytest.mark.parametrize(
    ("part", "file"), core_files(), ids=lambda value: value.stem if isinstance(value, Path) else value
)
def test_core_imports_only_what_lies_below(part: str, file: Path) -> None:
    assert core_violations(part, file) == []


@pytest.mark.parametrize("folder", PLUGIN_FOLDERS, ids=lambda folder: folder.name)
def test_plugins_import_hooks_and_the_apis_that_they_require(folder: Path) -> None:
    requires = requires_of(folder)
    found = {
        str(file.relative_to(ROOT)): plugin_violations(folder.name, requires, file)
        for file in folder.rglob("*.py")
        if "node_modules" not in file.parts
    }
    assert {file: wrong for file, wrong in found.items() if wrong} == {}


def test_asyncio_is_known_to_the_runtime_and_the_stores_alone() -> None:
    users = {
        str(file.relative_to(CORE))
        for _, file in core_files()
        if any(name.split(".")[0] in ("asyncio", "asyncpg", "redis", "uvloop") for name in imported_modules(file))
    }
    assert {user for user in users if not user.startswith(("runtime.py", "store/", "testing/"))} == set()


@pytest.mark.parametrize(
    "line",
    [
        "from dorami_core.store.postgres import open_database",
        "import dorami_core.app",
        "from dorami_core.hooks.dispatch import Dispatcher",
        "from dorami_cart.service import CartService",
        "from dorami_points.api import PointsApi",
        "import asyncio",
    ],
)
def test_the_rule_catches(line: str, tmp_path: Path) -> None:
    file = tmp_path / "service.py"
    file.write_text(line + "\n", "utf-8")
    assert plugin_violations("dorami_orders", {"dorami_cart"}, file)


def test_the_rule_lets_an_api_through(tmp_path: Path) -> None:
    file = tmp_path / "service.py"
    file.write_text("from dorami_cart.api import CartApi\nfrom dorami_core.hooks import Host\n", "utf-8")
    assert plugin_violations("dorami_orders", {"dorami_cart"}, file) == []
