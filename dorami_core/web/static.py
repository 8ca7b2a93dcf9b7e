"""Static files of packages, at /static/<package>/<path>."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import attrs
import trio
from quart import Response, request

from dorami_core.base.errors import DoramiError

CACHE_MAX_BYTES = 32 * 1024 * 1024
COMPRESS_FROM_BYTES = 1024
_FOREVER = "public, max-age=31536000, immutable"
_CHECK = "no-cache"
_HASHED = re.compile(r"-[A-Za-z0-9_-]{8,}\.[a-z0-9]+$")
_COMPRESSIBLE = re.compile(r"text/|application/(javascript|json|manifest\+json)|image/svg\+xml")
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".webp": "image/webp",
    ".webmanifest": "application/manifest+json",
    ".map": "application/json",
}


@attrs.frozen
class StaticFile:
    content: bytes
    compressed: bytes | None
    content_type: str
    digest: str
    stamp: tuple[int, int]

    @property
    def size(self) -> int:
        return len(self.content) + len(self.compressed or b"")


class StaticFiles:
    """Files by package. What was read is kept in memory, up to 32 MiB, until the file changes."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = {package: folder.resolve() for package, folder in folders.items() if folder.is_dir()}
        self._cache: dict[Path, StaticFile] = {}
        self._cached_bytes = 0
        # Files are read in worker threads.
        self._changing = threading.Lock()

    def url(self, package: str, path: str) -> str:
        """`/static/<package>/<path>?v=<hash of the content>`; without the hash where there is no such file."""
        url = f"/static/{package}/{quote(path)}"
        try:
            return f"{url}?v={self._load(self._locate(package, path)).digest[:12]}"
        except DoramiError:
            return url

    async def respond(self, package: str, path: str) -> Response:
        """The file, or 304 where the client has it. NOT_FOUND for anything outside the package's folder."""
        file = await trio.to_thread.run_sync(lambda: self._load(self._locate(package, path)))
        etag = f'"{file.digest[:32]}"'
        headers = {
            "ETag": etag,
            "Cache-Control": _FOREVER if request.args.get("v") or _HASHED.search(path) else _CHECK,
            "Vary": "Accept-Encoding",
        }
        known = {tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")}
        if etag in known:
            return Response(b"", 304, headers)
        body = file.content
        if file.compressed is not None and "gzip" in request.headers.get("Accept-Encoding", "").lower():
            body = file.compressed
            headers["Content-Encoding"] = "gzip"
        return Response(body, 200, headers, content_type=file.content_type)

    def _locate(self, package: str, path: str) -> Path:
        folder = self._folders.get(package)
        parts = path.split("/")
        if folder is None or "\x00" in path or "\\" in path or any(not part or part.startswith(".") for part in parts):
            raise DoramiError("NOT_FOUND")
        try:
            file = folder.joinpath(*parts).resolve()
            # A link inside the folder must not lead out of it.
            if not file.is_relative_to(folder) or not file.is_file():
                raise DoramiError("NOT_FOUND")
        except OSError:
            raise DoramiError("NOT_FOUND") from None
        return file

    def _load(self, file: Path) -> StaticFile:
        stat = file.stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        known = self._cache.get(file)
        if known is not None and known.stamp == stamp:
            return known
        content = file.read_bytes()
        content_type = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        compressed = None
        if len(content) >= COMPRESS_FROM_BYTES and _COMPRESSIBLE.match(content_type):
            compressed = gzip.compress(content, 6, mtime=0)
        loaded = StaticFile(content, compressed, content_type, hashlib.sha256(content).hexdigest(), stamp)
        with self._changing:
            old = self._cache.pop(file, None)
            self._cached_bytes -= old.size if old is not None else 0
            if self._cached_bytes + loaded.size <= CACHE_MAX_BYTES:
                self._cache[file] = loaded
                self._cached_bytes += loaded.size
        return loaded
