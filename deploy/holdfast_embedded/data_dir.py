"""The folder in which a stack keeps its data: who holds it, what it was made for, and what runs in it now."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import platformdirs

LAYOUT = 1  # raised when what lies in the folder changes its form
OURS = ("valkey", "postgres", "broker", "holdfast.json", "stack.json")


class BadDataDir(RuntimeError):
    """The folder cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Book:
    """What is written into the folder for good."""

    layout: int
    shards: int
    opened: bool  # whether `init` has come to its end here; it is never repeated then


def default_data_dir() -> Path:
    """Return this user's own folder for it."""
    return Path(platformdirs.user_data_dir("holdfast", appauthor=False))


class DataDir:
    """One folder with our files in it. Only who holds it may write to it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder against every other stack; the kernel lets go of it however this process ends."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / "lock").open("w")
        except OSError as error:
            raise BadDataDir(f"cannot use the data folder {self.path}: {error.strerror}") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadDataDir(self._who_holds_it()) from None
            yield

    def open_book(self, shards: int) -> Book:
        """Return what the folder was made for, after making it for `shards` if it is new; BadDataDir if it differs."""
        book = self._read_book() or self.write_book(Book(LAYOUT, shards, opened=False))
        if book.layout != LAYOUT:
            raise BadDataDir(
                f"{self.path} was laid out by another version of Holdfast (layout {book.layout}, this one knows "
                f"{LAYOUT}). Choose another --data-dir."
            )
        if book.shards != shards:
            raise BadDataDir(
                f"{self.path} was made for {book.shards} shards and HOLDFAST_SHARDS is {shards}; the number never "
                f"changes. Set HOLDFAST_SHARDS={book.shards}, or choose another --data-dir."
            )
        return book

    def note_opened(self) -> None:
        """Write down that `init` has come to its end."""
        book = self._read_book()
        assert book is not None, "the book is opened first"
        self.write_book(replace(book, opened=True))

    def write_book(self, book: Book) -> Book:
        """Write the book, and return it."""
        write_json(self.path / "holdfast.json", asdict(book))
        return book

    def tell(self, state: Mapping[str, Any]) -> None:
        """Write stack.json: pids and addresses of what runs now, for the demo, tests and curious people."""
        write_json(self.path / "stack.json", state)

    def tell_nothing(self) -> None:
        """Remove stack.json: nothing runs."""
        (self.path / "stack.json").unlink(missing_ok=True)

    def empty(self) -> None:
        """Remove what a stack made here, and nothing else."""
        for name in OURS:
            path = self.path / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _read_book(self) -> Book | None:
        try:
            found = json.loads((self.path / "holdfast.json").read_text())
            return Book(found["layout"], found["shards"], found["opened"])
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            raise BadDataDir(f"{self.path / 'holdfast.json'} cannot be read; choose another --data-dir") from None

    def _who_holds_it(self) -> str:
        advice = "Stop that one first, or choose another --data-dir."
        try:
            pid = json.loads((self.path / "stack.json").read_text())["pid"]
        except (OSError, ValueError, KeyError):
            return f"another stack uses {self.path}. {advice}"
        return f"another stack (process {pid}) uses {self.path}. {advice}"


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a file in one step, so that a reader finds the old text or the new one."""
    unfinished = path.with_suffix(".new")
    with unfinished.open("w") as file:
        file.write(json.dumps(value, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
