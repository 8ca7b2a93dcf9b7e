"""`python -m bench.publisher FILE RTMP KEY`: publishes the clip in real time until stdin closes; says `ready` once the
first GOP is out. A process of its own, so that the load client's reads delay no frame."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import trio

from bench.clip import GOP_S, load_clip, opening, stamped, timetable
from bench.target import CannotRun
from dorami_core.ingest.client import PublishFailed, open_publisher
from dorami_core.media.packets import MediaKind
from dorami_core.media.workers.child import end_with_stdin, follow_parent


@contextmanager
def publishing(clip: Path, rtmp: str, key: str) -> Iterator[None]:
    """A publisher of that clip for as long as the block runs; CannotRun where it is not let in. `key` is what goes
    into OBS."""
    command = [sys.executable, "-m", "bench.publisher", str(clip), rtmp, key]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                raise CannotRun("nothing could be published")
            yield
            if process.poll() is not None:
                raise CannotRun("the publisher was cut")
        finally:
            process.terminate()


async def publish(clip: Path, rtmp: str, key: str) -> None:
    where = urlsplit(rtmp)
    name, _, secret = key.partition("?secret=")
    loaded = load_clip(clip)
    async with trio.open_nursery() as nursery:
        publisher = await open_publisher(
            nursery, where.hostname or "127.0.0.1", where.port or 1935, name, unquote(secret)
        )
        await publisher.send_many(opening(loaded))
        began = time.monotonic()
        frames = 0
        is_ready = False
        for due_s, packet in timetable(loaded):
            await trio.sleep(max(0.0, began + due_s - time.monotonic()))
            if packet.kind is MediaKind.VIDEO:
                packet = stamped(packet, frames)
                frames += 1
            await publisher.send(packet)
            if not is_ready and due_s > GOP_S:
                is_ready = True
                os.write(1, b"ready\n")


if __name__ == "__main__":
    follow_parent()
    end_with_stdin()
    try:
        trio.run(publish, Path(sys.argv[1]), sys.argv[2], sys.argv[3])
    except* (PublishFailed, OSError) as group:
        sys.exit(f"publisher: {group.exceptions[0]!r}")
