"""What is written is what is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import attrs

from dorami_core.base.settings import CORE_SECTIONS, load_settings
from dorami_core.hooks.dispatch import Dispatcher
from dorami_core.hooks.document import FILE, all_groups, document
from dorami_core.hooks.loader import find_plugins, make_manager

ROOT = Path(__file__).parents[2]


def sections() -> dict[str, type]:
    found = dict(CORE_SECTIONS)
    for _, (name, kind) in Dispatcher(make_manager(find_plugins())).register("register_settings"):
        found[name] = kind
    return found


def test_every_hook_is_documented_with_its_signature() -> None:
    assert FILE.read_text("utf-8") == document(all_groups()), "run: python -m dorami_core.hooks.document"


def test_every_setting_is_in_the_file_with_its_default() -> None:
    file = ROOT / "config" / "dorami.toml"
    written = tomllib.loads(file.read_text("utf-8"))
    defaults = {name: attrs.asdict(kind()) for name, kind in sections().items()}
    assert written == defaults
    load_settings(file, {}, sections())


def test_lock_files_name_no_index() -> None:
    for lock in (ROOT / "requirements").glob("*.lock"):
        assert "://" not in lock.read_text("utf-8")
    patterns = ("plugins/*/web/package-lock.json", "tests/e2e/*/package-lock.json", "bench/peers/*/package-lock.json")
    package_locks = [file for pattern in patterns for file in ROOT.glob(pattern)]
    assert len(package_locks) >= 3
    for package_lock in package_locks:
        assert '"resolved"' not in package_lock.read_text("utf-8")


def test_the_readme_links_to_files_that_exist() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (ROOT / target).exists(), f"{page.name}: {target}"
