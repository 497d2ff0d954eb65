"""A stack's data folder: its lock, the manifest of what it was made for, and the state of the running stack."""

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

LAYOUT_VERSION = 1  # raised when the contents of the folder change their form
MANIFEST, STATE = "holdfast.json", "stack.json"
CONTENTS = ("valkey", "postgres", "broker", MANIFEST, STATE)


class BadDataDir(RuntimeError):
    """The folder cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Manifest:
    """What a folder was made for, as holdfast.json keeps it."""

    layout: int
    shards: int
    opened: bool  # whether `init` has opened the shards; it never runs again here then


def default_data_dir() -> Path:
    """Return the data folder of the present user."""
    return Path(platformdirs.user_data_dir("holdfast", appauthor=False))


class DataDir:
    """One data folder. Write to it only inside `locked`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder against every other stack; the kernel releases the lock however this process ends."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / "lock").open("w")
        except OSError as error:
            raise BadDataDir(f"cannot use the data folder {self.path}: {error.strerror}") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadDataDir(self._in_use_message()) from None
            yield

    def load_or_create_manifest(self, shards: int) -> Manifest:
        """Return the folder's manifest, creating it for `shards` if there is none; BadDataDir if it does not fit."""
        manifest = self._read_manifest() or self._write_manifest(Manifest(LAYOUT_VERSION, shards, opened=False))
        if manifest.layout != LAYOUT_VERSION:
            raise BadDataDir(
                f"{self.path} was made by another version of Holdfast (layout {manifest.layout}, and this version has "
                f"{LAYOUT_VERSION}). Choose another --data-dir."
            )
        if manifest.shards != shards:
            raise BadDataDir(
                f"{self.path} was made for {manifest.shards} shards and HOLDFAST_SHARDS is {shards}; the number never "
                f"changes. Set HOLDFAST_SHARDS={manifest.shards}, or choose another --data-dir."
            )
        return manifest

    def mark_opened(self) -> None:
        """Write into the manifest that `init` has opened the shards."""
        manifest = self._read_manifest()
        assert manifest is not None, "the manifest is created first"
        self._write_manifest(replace(manifest, opened=True))

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Write stack.json: pids and addresses of the running stack, for the demo, tests and users."""
        write_json(self.path / STATE, state)

    def remove_state(self) -> None:
        """Remove stack.json: nothing runs."""
        (self.path / STATE).unlink(missing_ok=True)

    def delete_contents(self) -> None:
        """Delete what a stack made here, and nothing else."""
        for name in CONTENTS:
            path = self.path / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _read_manifest(self) -> Manifest | None:
        try:
            found = json.loads((self.path / MANIFEST).read_text())
            return Manifest(found["layout"], found["shards"], found["opened"])
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            raise BadDataDir(f"{self.path / MANIFEST} cannot be read; choose another --data-dir") from None

    def _write_manifest(self, manifest: Manifest) -> Manifest:
        write_json(self.path / MANIFEST, asdict(manifest))
        return manifest

    def _in_use_message(self) -> str:
        advice = "Stop that one first, or choose another --data-dir."
        try:
            pid = json.loads((self.path / STATE).read_text())["pid"]
        except (OSError, ValueError, KeyError):
            return f"another stack uses {self.path}. {advice}"
        return f"another stack (process {pid}) uses {self.path}. {advice}"


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a file atomically, so that a reader finds the old text or the new one."""
    unfinished = path.with_suffix(".new")
    with unfinished.open("w") as file:
        file.write(json.dumps(value, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
