"""The data directory: one process at a time, nobody else's eyes, and the secrets that are made once."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs


class DataDirectoryBusy(RuntimeError):
    """Another process holds the data directory; the message names its path."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"the data directory {path} is in use by another process; stop that one first, or choose another directory"
        )
        self.path = path


@attrs.frozen
class DataDirectory:
    """A data directory that this process holds. `path` is absolute."""

    path: Path

    def secret(self, name: str, make: Callable[[], str]) -> str:
        """The secret `name`, made by `make` at its first use and the same ever after.

        It is kept in `secrets/<name>`, mode 0600, written whole or not at all. `name` is of a-z, 0-9 and `_`.
        Raises ValueError for another name, OSError where the directory cannot be written.
        """
        if not re.fullmatch(r"[a-z0-9_]{1,64}", name):
            raise ValueError(f"{name!r} is no name for a secret")
        folder = self.path / "secrets"
        folder.mkdir(mode=0o700, exist_ok=True)
        file = folder / name
        try:
            return file.read_text(encoding="utf-8")
        except FileNotFoundError:
            value = make()
            _write_whole(file, value)
            return value


def find_secret(path: str | os.PathLike[str], name: str) -> str | None:
    """A secret that another process has made in its data directory; None where there is none. Needs no hold."""
    try:
        return (Path(path) / "secrets" / name).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextmanager
def open_data_directory(path: str | os.PathLike[str]) -> Iterator[DataDirectory]:
    """Creates the directory where it is missing, closes it to others (0700), and holds it until the block ends.

    Raises `DataDirectoryBusy` where another process holds it, OSError where it cannot be made.
    """
    directory = Path(path).expanduser().absolute()
    make_private(directory)
    with hold(directory / "dorami.lock"):
        yield DataDirectory(directory)


def make_private(directory: Path) -> None:
    """A directory that is there afterwards with mode 0700; parents that are missing get the usual modes."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_mode & 0o777 != 0o700:
        directory.chmod(0o700)


@contextmanager
def hold(file: Path) -> Iterator[None]:
    """An exclusive lock on `file`, created where missing. The kernel frees it when the process ends, however it ends.

    Raises `DataDirectoryBusy` at once where it is taken.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataDirectoryBusy(file.parent) from None
        yield
    finally:
        os.close(descriptor)


def _write_whole(file: Path, value: str) -> None:
    fresh = file.with_name(file.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(value)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.rename(file)
    parent = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
