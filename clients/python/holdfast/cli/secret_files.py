"""Writes files that only their owner may read, whole or not at all, and over others only if that is asked for."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from holdfast.cli.fail import fail

PRIVATE, PUBLIC = 0o600, 0o644
LONGEST = 1 << 20  # bytes of a file that is read


def content_of(file: Path) -> bytes:
    """What the file has; a file that cannot be read, or is no key for its mere length, ends the command."""
    with _failures(file), file.open("rb") as opened:
        content = opened.read(LONGEST + 1)
    if len(content) > LONGEST:
        fail(f"{file}: has more than {LONGEST} bytes")
    return content


def write_secret(file: Path, content: bytes, *, force: bool) -> None:
    """Write a file with the mode 0600, which it has from its first moment on."""
    with _failures(file):
        if force:
            return _replace(file, content, PRIVATE)
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        except FileExistsError:
            fail(f"{file}: exists, and what it has would be lost; choose another name, or add --force")
        with open(descriptor, "wb") as opened:
            opened.write(content)


def replace_file(file: Path, content: bytes) -> None:
    """Write a file that others may read, or replace one, whose mode stays; a reader sees the old or the new one."""
    with _failures(file):
        mode = PUBLIC
        with suppress(FileNotFoundError):
            mode = stat.S_IMODE(file.stat().st_mode)
        _replace(file.resolve(), content, mode)


def _replace(file: Path, content: bytes, mode: int) -> None:
    """Write a temporary file beside it and give it the name."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # its mode is 0600
    try:
        with open(descriptor, "wb") as opened:
            opened.write(content)
            os.fchmod(descriptor, mode)
        os.replace(temporary, file)
    except BaseException:  # Ctrl-C too: no half-written secret is left behind
        os.unlink(temporary)
        raise


@contextmanager
def _failures(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        fail(f"{file}: {error.strerror}")
