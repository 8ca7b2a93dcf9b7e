"""The data directory."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dorami_core.store.datadir import DataDirectoryBusy, open_data_directory

SECOND = """
import sys
from dorami_core.store.datadir import open_data_directory
with open_data_directory(sys.argv[1]):
    print("open")
"""


def _second(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", SECOND, str(path)], capture_output=True, text=True, check=False)


def test_it_is_made_and_closed_to_others(tmp_path: Path) -> None:
    with open_data_directory(tmp_path / "a" / "data") as data:
        assert data.path == tmp_path / "a" / "data"
        assert stat.S_IMODE(data.path.stat().st_mode) == 0o700


def test_only_its_own_mode_is_changed(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "outside" / "data"
    inside.mkdir(parents=True)
    outside.chmod(0o755)
    inside.chmod(0o755)
    with open_data_directory(inside):
        assert stat.S_IMODE(inside.stat().st_mode) == 0o700
        assert stat.S_IMODE(outside.stat().st_mode) == 0o755


def test_a_second_process_is_refused_with_the_path(tmp_path: Path) -> None:
    with open_data_directory(tmp_path / "data"):
        refused = _second(tmp_path / "data")
        assert refused.returncode != 0
        assert f"DataDirectoryBusy: the data directory {tmp_path / 'data'} is in use" in refused.stderr
        with pytest.raises(DataDirectoryBusy), open_data_directory(tmp_path / "data"):
            pass
    assert _second(tmp_path / "data").stdout == "open\n"


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    made: list[str] = []

    def make() -> str:
        made.append("x")
        return f"secret number {len(made)}"

    for _ in range(2):
        with open_data_directory(tmp_path) as data:
            assert data.secret("session_key", make) == "secret number 1"
    assert data.secret("other", make) == "secret number 2"
    file = tmp_path / "secrets" / "session_key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_half_written_secret_is_not_taken(tmp_path: Path) -> None:
    with open_data_directory(tmp_path) as data:
        data.secret("first", lambda: "whole")
        (tmp_path / "secrets" / "key.new").write_text("ha")
        assert data.secret("key", lambda: "whole") == "whole"


@pytest.mark.parametrize("name", ["", "../key", "Key", "a/b", "key.new"])
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    with open_data_directory(tmp_path) as data, pytest.raises(ValueError, match="no name for a secret"):
        data.secret(name, lambda: "x")
