"""The restream worker: a job and then FLV on stdin, copied to an RTMP server.

`python -m dorami_core.media.workers.restream`. The job is four bytes of length (big-endian) and a msgpack map `{"url",
"memory_bytes", "ca_file"}`: the URL has the key in it, and a command line can be read by everybody on the machine.

Frames on stdout: `{"state": "connecting"}` before, `{"state": "active"}` after the server has let us publish, then once
a second `{"sent_bytes", "unread_bytes", "acked_bytes", "edge_bytes", "packets", "time_ms"}`. While FFmpeg connects it
holds the GIL and nothing is said at all: the supervisor counts that as no progress. Exit status 3: the server said no;
4: its certificate is not to be trusted. Ends well when stdin closes.
"""

from __future__ import annotations

import fcntl
import logging
import os
import resource
import socket
import sys
import termios
import threading
import time
from typing import Any, NoReturn

import msgpack

from dorami_core.media.workers.child import follow_parent, report
from dorami_core.media.workers.hls import PROBE

MAX_JOB_BYTES = 65536
SEND_BUFFER_BYTES = 512 * 1024
"""What may wait in the kernel. Left alone it grows to megabytes, and a server that has stopped reading would be noticed
only after as many seconds of video."""
REPORT_S = 1.0
_BYTES_ACKED, _SND_WND = 120, 228
"""Offsets in Linux's `struct tcp_info`; the second is there since Linux 5.4."""
REFUSED_STATUS = 3
UNTRUSTED_STATUS = 4
# The muxer waits this long (us) for a packet of the other track, 10 s by default.
INTERLEAVING = {"max_interleave_delta": "1000000"}
OPTIONS = {
    "flvflags": "no_duration_filesize",
    "flush_packets": "1",
    **INTERLEAVING,
}


def read_job() -> dict[str, Any]:
    """Reads no byte further than the job: what follows is for FFmpeg, from the same descriptor."""
    size = int.from_bytes(_exactly(4), "big")
    if size > MAX_JOB_BYTES:
        raise ValueError("the job is too large")
    job: dict[str, Any] = msgpack.unpackb(_exactly(size))
    return job


def _exactly(size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = os.read(0, size - len(data))
        if not part:
            sys.exit("stdin ended before the job")
        data += part
    return data


class Sending:
    """The connection's numbers; a thread of its own says them, since a `mux` can block for long."""

    def __init__(self, sock: socket.socket | None) -> None:
        self._sock = sock
        self.sent_bytes = 0
        self.packets = 0
        self.time_ms = 0

    def start(self) -> None:
        threading.Thread(target=self._say, daemon=True).start()

    def say(self) -> None:
        acked, edge = self.window()
        report(
            sent_bytes=self.sent_bytes,
            unread_bytes=self.unread_bytes(),
            acked_bytes=acked,
            edge_bytes=edge,
            packets=self.packets,
            time_ms=self.time_ms,
        )

    def unread_bytes(self) -> int:
        """What the other side's kernel has not acknowledged (Linux SIOCOUTQ); 0 where that cannot be asked."""
        if self._sock is None:
            return 0
        try:
            answer = fcntl.ioctl(self._sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
        except OSError:
            return 0
        return int.from_bytes(answer, sys.byteorder)

    def window(self) -> tuple[int, int]:
        """How many bytes the other side's kernel has acknowledged, and up to which it would take them: the right edge
        of its window (RFC 9293, 3.8.6). 0, 0 where that cannot be asked."""
        if self._sock is None or not hasattr(socket, "TCP_INFO"):
            return 0, 0
        try:
            told = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SND_WND + 4)
        except OSError:
            return 0, 0
        if len(told) < _SND_WND + 4:
            return 0, 0
        acked = int.from_bytes(told[_BYTES_ACKED : _BYTES_ACKED + 8], sys.byteorder)
        return acked, acked + int.from_bytes(told[_SND_WND:], sys.byteorder)

    def _say(self) -> None:
        while True:
            self.say()
            time.sleep(REPORT_S)


def open_sockets() -> dict[int, str]:
    """The descriptors of this process that are sockets."""
    found = {}
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            link = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the listing's own
        if link.startswith("socket:"):
            found[int(name)] = link
    return found


def connection_since(before: dict[int, str]) -> socket.socket | None:
    """A second handle on the socket that FFmpeg has opened since."""
    for descriptor, link in open_sockets().items():
        if before.get(descriptor) != link:
            sock = socket.socket(fileno=os.dup(descriptor))
            if sock.type is socket.SOCK_STREAM:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
                return sock
            sock.close()
    return None


class Said(logging.Handler):
    """What FFmpeg has logged, for stderr and for the exit status."""

    def __init__(self) -> None:
        super().__init__()
        self.was_refused = False
        self.is_untrusted = False

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage().strip()
        if line.startswith("Slave '"):
            return  # the tee muxer's, with the key in another spelling
        self.was_refused = self.was_refused or "Server error" in line
        self.is_untrusted = self.is_untrusted or line.startswith(("Peer certificate", "The certificate's owner"))
        print(line, file=sys.stderr, flush=True)

    @property
    def status(self) -> int:
        """How to end after a connection that did not come about."""
        if self.is_untrusted:
            return UNTRUSTED_STATUS
        return REFUSED_STATUS if self.was_refused else 1


def destination(url: str, ca_file: str) -> tuple[str, str]:
    """What to open, and as which format. PyAV hands no options to the protocol of an output, and TLS asks for no
    certificate without one; the tee muxer does hand them on."""
    if not url.startswith("rtmps://"):
        return url, "flv"
    options = {**OPTIONS, "tls_verify": "1", "ca_file": ca_file}
    told = ":".join(f"{name}={_escaped(value, ':]')}" for name, value in options.items())
    return _escaped(f"[f=flv:{told}]{url}", "|"), "tee"


def _escaped(text: str, special: str) -> str:
    """As FFmpeg's `av_get_token` reads it."""
    return "".join("\\" + c if c in "\\'" + special else c for c in text)


def send(url: str, ca_file: str, said: Said) -> None:
    """Copies packets from stdin until it closes."""
    import av

    av.logging.set_level(av.logging.WARNING)
    where, form = destination(url, ca_file)
    with (
        av.open("pipe:0", format="flv", options=PROBE) as source,
        av.open(where, "w", format=form, options=OPTIONS if form == "flv" else INTERLEAVING) as target,
    ):
        # opaque: a copy needs no encoder, and for AV1 the decoder's name is none of one
        tracks = [stream for stream in source.streams if stream.type in ("audio", "video")]
        streams = {stream.index: target.add_stream_from_template(stream, opaque=True) for stream in tracks}
        before = open_sockets()
        report(state="connecting")
        try:
            target.start_encoding()
        except av.error.FFmpegError as error:
            _leave(error, said.status)
        report(state="active")
        sending = Sending(connection_since(before))
        sending.start()
        last: dict[int, int] = {}
        for packet in source.demux(*(source.streams[index] for index in streams)):
            if packet.dts is None or packet.pts is None:
                continue
            index = packet.stream.index
            if packet.dts < last.get(index, packet.dts):
                packet.dts = last[index]
                packet.pts = max(packet.pts, packet.dts)
            last[index] = packet.dts
            size, at_ms = packet.size, int(packet.dts * packet.time_base * 1000)
            packet.stream = streams[index]
            try:
                target.mux(packet)
            except av.error.FFmpegError as error:
                _leave(error, 1)
            sending.sent_bytes += size
            sending.packets += 1
            sending.time_ms = max(sending.time_ms, at_ms)
        sending.say()


def _leave(error: Any, status: int) -> NoReturn:
    """Without the destructors: they would write to the connection that has just failed."""
    print(error.strerror, file=sys.stderr, flush=True)  # without the file name, which has the key in it
    os._exit(status)


def main() -> None:
    follow_parent()
    job = read_job()
    # Of the address space only what is written to: libraries are mapped generously.
    resource.setrlimit(resource.RLIMIT_DATA, (job["memory_bytes"], job["memory_bytes"]))
    os.nice(5)
    said = Said()
    logging.basicConfig(handlers=[said])
    try:
        send(job["url"], job["ca_file"], said)
    except EOFError:
        return  # stdin closed before the first frame


if __name__ == "__main__":
    main()
