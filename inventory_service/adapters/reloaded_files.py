"""Keeps what files say in memory, and reads them anew when they have changed.

What cannot be used changes nothing: what was read before holds until the files are in order again.
"""

import asyncio
import os
import stat
import threading
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import structlog

INTERVAL_S = 1.0
AT_ONCE_S = 0.2  # that a call, and with it all others, waits for files
Contents = TypeVar("Contents")
log = structlog.get_logger()


class SettingsFile(NamedTuple):
    """A file and the variable that names it."""

    variable: str
    path: str

    def read(self) -> bytes:
        """All of it; raises UnusableFile, also for a pipe or a device: to read one may take for ever."""
        try:
            with open(self.path, "rb", opener=_open_without_waiting) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise self.unusable("is no regular file")
                return file.read()
        except OSError as error:
            raise self.unusable(f"cannot be read: {error.strerror or error}") from error

    def unusable(self, why: str) -> "UnusableFile":
        return UnusableFile(f"{self.variable}: {self.path} {why}")


class UnusableFile(Exception):
    """The message is one line that names the variable, the file and what is wrong with it."""


class ReloadedFiles(Generic[Contents]):
    """The contents of files that are read together, such as a certificate and its key."""

    def __init__(
        self,
        name: str,
        files: Sequence[SettingsFile],
        read: Callable[[], Contents],
        show_ok: Callable[[str, bool], None],
    ) -> None:
        """Read them once; UnusableFile if they cannot be used. `show_ok` gets the name, and if they can be."""
        self._name = name
        self._files = files
        self._read = read
        self._show_ok = show_ok
        self._problem = ""
        self._checking = threading.Lock()  # a slow check must not put older contents in the place of newer ones
        self._stamps = self._look()
        self.current = read()
        show_ok(name, True)

    async def run(self) -> None:
        """Look at the files each second, on a thread: they may be on a file system that is slow."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            await asyncio.to_thread(self.check)

    def check(self) -> None:
        """Read the files if one of them has changed since, or while they cannot be used."""
        with self._checking:
            self._check()

    def check_at_once(self) -> None:
        """The same, unless another check is under way; the caller waits for a slow one no longer than AT_ONCE_S."""
        if not self._checking.locked():
            check = threading.Thread(target=self.check, daemon=True)
            check.start()
            check.join(AT_ONCE_S)

    def _check(self) -> None:
        stamps = self._look()  # before they are read: what changes meanwhile is read again
        if stamps == self._stamps and not self._problem:
            return
        self._stamps = stamps
        try:
            self.current = self._read()
        except UnusableFile as error:
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001  (a library's: the changes that follow must still be read)
            self._failed(f"{type(error).__name__}: {error}")
        else:
            self._problem = ""
            self._show_ok(self._name, True)
            log.info("files_reloaded", files=self._name)

    def _failed(self, problem: str) -> None:
        """Log each problem once: the files may stay as they are for long."""
        if problem != self._problem:
            log.error("files_unusable", files=self._name, why=problem)
        self._problem = problem
        self._show_ok(self._name, False)

    def _look(self) -> Sequence[object]:
        return [_stamp(file.path) for file in self._files]


def _open_without_waiting(path: str, flags: int) -> int:
    """Opens a pipe, too, before any process writes to it."""
    return os.open(path, flags | os.O_NONBLOCK)


def _stamp(path: str) -> object:
    """Differs once a file is written, replaced, or given back to those who may read it."""
    try:
        found = os.stat(path)
    except OSError as error:
        return error.errno
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
