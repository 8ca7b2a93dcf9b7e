"""An edge process of `dorami up --edges`; started by `edge/processes.py`, never by hand.

Arguments: the parent's process number, and `EdgeOptions` as JSON. Addresses and secrets are in the environment.
"""

from __future__ import annotations

import sys

from dorami_core.base.processes import die_with_parent


def main() -> int:
    die_with_parent(int(sys.argv[1]))  # before anything that takes time

    from dorami_core.cli import run_edge_child

    return run_edge_child(sys.argv[2])


if __name__ == "__main__":
    sys.exit(main())
