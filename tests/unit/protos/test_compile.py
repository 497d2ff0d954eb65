"""The protos are compared with those of the newest release, by buf, on images of both."""

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from protos.compile import breaking_changes, main

RESERVE_REQUEST = ("holdfast/inventory/v1/inventory_service.proto", "ReserveRequest")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The protos as they are, compiled."""
    file = tmp_path_factory.mktemp("protos") / "protos.binpb"
    assert main(["image", str(file)]) == 0
    return file


def without_first_field(image: Path, file_name: str, message_name: str) -> bytes:
    """The image after the first field of a message was removed."""
    files = FileDescriptorSet.FromString(image.read_bytes())
    [file] = [file for file in files.file if file.name == file_name]
    [message] = [message for message in file.message_type if message.name == message_name]
    del message.field[0]
    return files.SerializeToString()


def test_before_the_first_release_nothing_is_compared(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check passes and says why, so that a green run is not taken for a comparison."""
    assert breaking_changes(str(image), tmp_path / "released.binpb") == 0

    assert "nothing to compare with" in capsys.readouterr().out


def test_protos_as_released_pass(image: Path) -> None:
    """A release is compared with itself on the day it is made."""
    assert breaking_changes(str(image), image) == 0


def test_a_field_that_is_removed_fails(image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Released clients go on sending it; buf's line names message and field."""
    changed = tmp_path / "changed.binpb"
    changed.write_bytes(without_first_field(image, *RESERVE_REQUEST))

    assert breaking_changes(str(changed), image) != 0

    assert "ReserveRequest" in capfd.readouterr().out
