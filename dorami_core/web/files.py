"""Files as answers, whole or in part (RFC 9110, 14): given out as they are read."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import trio
from quart import Response
from quart_trio.wrappers.response import TrioFileBody

from dorami_core.base.errors import DoramiError
from dorami_core.base.ranges import wanted_range
from dorami_core.hooks.http import FileAnswer
from dorami_core.web.exchange import Incoming

PIECE_BYTES = 256 * 1024


async def file_response(answer: FileAnswer, incoming: Incoming) -> Response:
    """200 with all of it, 206 with one range, 304 where the client has it, 416 for a range that it does not have.
    Several ranges at once are answered by the whole, as a server may."""
    stamp = await trio.to_thread.run_sync(_stamp, answer.path)
    if stamp is None:
        raise DoramiError("NOT_FOUND")
    size, modified = stamp
    etag = f'"{modified:x}-{size:x}"'
    headers = {"Accept-Ranges": "bytes", "ETag": etag, "Cache-Control": answer.cache}
    if answer.download_as is not None:
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(answer.download_as)}"
    known = {tag.strip().removeprefix("W/") for tag in incoming.headers.get("if-none-match", "").split(",")}
    if etag in known:
        return Response(b"", 304, headers)
    part = wanted_range(incoming.headers.get("range", ""), size)
    if incoming.headers.get("if-range", etag) != etag:
        part = None
    if part is not None and part[0] >= part[1]:
        return Response(b"", 416, {**headers, "Content-Range": f"bytes */{size}"})
    begin, end = part or (0, size)
    body = TrioFileBody(answer.path, buffer_size=PIECE_BYTES)
    body.begin, body.end = begin, end
    response = Response(b"", 200 if part is None else 206, headers, content_type=answer.content_type)
    response.response = body
    response.content_length = end - begin
    response.timeout = None  # as long as the client takes
    if part is not None:
        response.headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
    return response


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns
