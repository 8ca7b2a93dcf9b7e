"""SRS 6, a binary that is named: no registry has it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.target import CannotRun, Target, split_cores

START_LIMIT_S = 10.0
_CONFIG = """
listen {rtmp};
max_connections 15000;
daemon off;
srs_log_tank file;
srs_log_file {folder}/srs.log;
srs_log_level warn;
pid {folder}/srs.pid;
query_latest_version off;
http_server {{ enabled on; listen 127.0.0.1:{http}; dir {folder}; }}
vhost __defaultVhost__ {{
    tcp_nodelay on;
    min_latency off;
    play {{ gop_cache on; gop_cache_max_frames 2500; mw_latency {mw_latency}; queue_length 10; }}
    http_remux {{ enabled on; mount [vhost]/[app]/[stream].flv; }}
}}
"""


@contextmanager
def open_srs(program: Path, interval_s: float) -> Iterator[Target]:
    """Runs it on the server's core for as long as the block runs, gathering for as long as we do; without HLS and
    recording. CannotRun where it does not start."""
    theirs, ours = split_cores()
    rtmp, http = _free_ports(2)
    with tempfile.TemporaryDirectory(prefix="dorami-bench-") as folder:
        config = Path(folder) / "srs.conf"
        mw_latency = max(1, round(interval_s * 1000))
        config.write_text(_CONFIG.format(rtmp=rtmp, http=http, folder=folder, mw_latency=mw_latency), "utf-8")
        try:
            process = subprocess.Popen(
                [program, "-c", config],
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                preexec_fn=lambda: os.sched_setaffinity(0, theirs),
            )
        except OSError as error:
            raise CannotRun(f"{program} cannot be started: {error.strerror}") from error
        with process:
            try:
                _wait_for(process, http, Path(folder) / "srs.log")
                os.sched_setaffinity(0, ours)
                yield Target(
                    "", f"http://127.0.0.1:{http}", f"rtmp://127.0.0.1:{rtmp}/live", None, process.pid, _name(program)
                )
            finally:
                process.terminate()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    told = log.read_text("utf-8", "replace")[-300:] if log.exists() else ""
    raise CannotRun(f"SRS did not start: {told}")


def _name(program: Path) -> str:
    told = subprocess.run([program, "-v"], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+\.\d+", told.stdout + told.stderr)
    return f"SRS {found[0]}" if found else "SRS"
