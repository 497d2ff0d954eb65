"""Files that are read anew when they change: what cannot be used leaves what was read before."""

import os
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from inventory_service.adapters import reloaded_files
from inventory_service.adapters.reloaded_files import ReloadedFiles, SettingsFile, UnusableFile
from tests.integration.running import running
from tests.waiting import eventually


class Read:
    """Two files whose contents must be the same, as a key and its certificate must belong together."""

    def __init__(self, folder: Path) -> None:
        self.first, self.second = folder / "first", folder / "second"
        self.write("1")
        self.shown: list[bool] = []
        self.readings = 0
        files = [SettingsFile("HOLDFAST_FIRST", str(self.first)), SettingsFile("HOLDFAST_SECOND", str(self.second))]
        self.files = ReloadedFiles("pair", files, lambda: self.read(*files), lambda name, ok: self.shown.append(ok))

    def write(self, content: str) -> None:
        for path in (self.first, self.second):
            replace(path, content)

    def read(self, first: SettingsFile, second: SettingsFile) -> bytes:
        self.readings += 1
        content = first.read()
        if second.read() != content:
            raise second.unusable("is another one")
        return content

    def after_check(self) -> bytes:
        self.files.check()
        return self.files.current


def replace(path: Path, content: str) -> None:
    """As files should be renewed: no reader sees half of it."""
    new = path.with_suffix(".new")
    new.write_text(content)
    new.replace(path)


@pytest.fixture
def read(tmp_path: Path) -> Read:
    return Read(tmp_path)


def test_files_that_stay_are_read_once(read: Read) -> None:
    """A look at their times costs little."""
    assert [read.after_check() for _ in range(3)] == [b"1"] * 3
    assert read.readings == 1


def test_a_change_is_read_whichever_file_has_it(read: Read) -> None:
    """Also one that keeps the size and the time of the file's last change, as `cp -p` does."""
    for path in (read.first, read.second):
        before = path.stat()
        while path.stat().st_ctime_ns == before.st_ctime_ns:  # the file system's clock has ticked
            path.write_text("2")
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert read.after_check() == b"2"
    assert read.readings == 2


def test_what_does_not_belong_together_leaves_what_did(read: Read) -> None:
    """Both files of a pair never change in the same moment; each problem is logged once."""
    with capture_logs() as logged:
        replace(read.first, "2")
        in_between = [read.after_check() for _ in range(3)]
        replace(read.second, "2")
        assert (in_between, read.after_check()) == ([b"1"] * 3, b"2")

    assert [event["event"] for event in logged] == ["files_unusable", "files_reloaded"]
    assert logged[0]["why"] == f"HOLDFAST_SECOND: {read.second} is another one"
    assert read.shown == [True, False, False, False, True]


def test_a_folder_that_is_exchanged_is_read(tmp_path: Path) -> None:
    """As Kubernetes changes a secret: the files are links into a folder that is a link itself."""
    for folder in ("1", "2"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_text(folder)
    link, new_link = tmp_path / "data", tmp_path / "new"
    link.symlink_to(tmp_path / "1")
    file = SettingsFile("HOLDFAST_FIRST", str(link / "file"))
    files = ReloadedFiles("secret", [file], file.read, lambda name, ok: None)

    new_link.symlink_to(tmp_path / "2")
    new_link.replace(link)
    files.check()

    assert files.current == b"2"


def test_an_error_that_was_not_foreseen_ends_no_watch(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a library that meets what it does not know: the next change must still be read."""
    monkeypatch.setattr(SettingsFile, "read", lambda file: file.path[10**6])
    replace(read.first, "2")
    assert read.after_check() == b"1"
    monkeypatch.undo()
    replace(read.second, "2")

    assert read.after_check() == b"2"
    assert read.shown == [True, False, True]


def test_a_file_that_is_gone_leaves_what_it_said(read: Read) -> None:
    """It may be away while it is replaced; it counts from when it is there again."""
    content = read.second.read_text()
    read.second.unlink()
    assert read.after_check() == b"1"
    assert read.shown[-1] is False

    read.second.write_text(content)

    assert read.after_check() == b"1"
    assert read.shown[-1] is True


def test_a_pipe_is_not_read(read: Read) -> None:
    """To open or read one may take for ever."""
    read.first.unlink()
    os.mkfifo(read.first)

    assert read.after_check() == b"1"
    with pytest.raises(UnusableFile, match=f"^HOLDFAST_FIRST: {read.first} is no regular file$"):
        SettingsFile("HOLDFAST_FIRST", str(read.first)).read()


def test_files_that_are_needed_at_once_wait_for_no_slow_ones(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a mount that hangs: one caller waits a moment and those after it none; what is read then counts."""
    monkeypatch.setattr(reloaded_files, "AT_ONCE_S", 0.01)
    goes_on = threading.Event()
    monkeypatch.setattr(SettingsFile, "read", lambda file: goes_on.wait(10) and b"2")
    replace(read.first, "2")
    threads = threading.active_count()

    for _ in range(3):
        read.files.check_at_once()
    assert (read.files.current, threading.active_count()) == (b"1", threads + 1)
    goes_on.set()

    assert read.after_check() == b"2"


def test_a_start_needs_files_that_can_be_used(tmp_path: Path) -> None:
    """There is nothing yet that could go on in their place; the line names the variable and the file."""
    file = SettingsFile("HOLDFAST_FIRST", str(tmp_path / "none"))

    with pytest.raises(UnusableFile, match=f"HOLDFAST_FIRST: {tmp_path}/none cannot be read: No such file"):
        ReloadedFiles("pair", [file], file.read, lambda name, ok: None)


async def test_files_are_looked_at_again_and_again(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a server serves."""
    monkeypatch.setattr(reloaded_files, "INTERVAL_S", 0.001)
    async with running(read.files.run):
        read.write("2")
        await eventually(lambda: read.files.current == b"2")
        read.write("3")
        await eventually(lambda: read.files.current == b"3")
