"""The output of the `holdfast` command with limited encodings, closed pipes, full disks and control characters."""

import json
import os
import subprocess
import sys
from typing import TypeVar

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from holdfast.cli.render import local
from holdfast.cli.terminal import printable
from holdfast.inventory.v1.inventory_service_pb2 import GetReservationResponse, GetSaleResponse, ReserveResponse
from holdfast.inventory.v1.reservation_pb2 import Reservation, ReservationLine

from tests.unit.clients.cli.command import HELD, NOON, RESERVE, SALE, SCRIPT, THEN, run, start
from tests.unit.clients.fake_inventory import FakeInventory
from tests.unit.clients.zone import local_zone
from tests.waiting import LONG_S

SHOW, GET = ("sale", "show", "lamps"), ("get", "lamps", "r-1")
M = TypeVar("M", bound=Message)
TITLE = "Glühlampen 電灯 💡"


def changed(message: M, **fields: object) -> M:
    """A copy with other values in some fields."""
    copy = type(message)()
    copy.CopyFrom(message)
    for name, value in fields.items():
        setattr(copy, name, value)
    return copy


def sale(title: str) -> GetSaleResponse:
    return GetSaleResponse(sale=changed(SALE, title=title))


def test_what_the_encoding_lacks_is_printed_as_an_escape(fake: FakeInventory) -> None:
    """The call was made, so its exit code is 0 whatever the terminal can show, and JSON stays JSON."""
    fake.will_answer("GetSale", sale(TITLE), sale(TITLE))

    command = start(fake, *SHOW, THEN, *SHOW, "--json", PYTHONIOENCODING="latin-1")
    stdout, stderr = command.communicate(timeout=LONG_S)

    text, brace, rest = stdout.decode("latin-1").partition("{")
    assert (command.returncode, stderr) == (0, b"")
    assert r"Glühlampen \u96fb\u706f \U0001f4a1" in text
    assert json.loads(brace + rest)["sale"]["title"] == TITLE


def test_a_reader_that_closes_the_pipe_changes_no_exit_code(fake: FakeInventory) -> None:
    """`holdfast ... | head -1` under `set -o pipefail` is no failure of the call, and says nothing.

    Without a buffer the write fails, and with one the flush at the end.
    """
    fake.will_answer("GetSale", sale(TITLE), sale(TITLE))
    reading, writing = os.pipe()
    os.close(reading)

    commands = [
        start(fake, *SHOW, "--json", THEN, "sale", "--help", stdout=writing, PYTHONUNBUFFERED=unbuffered)
        for unbuffered in ("", "1")
    ]
    os.close(writing)

    for command in commands:
        _, stderr = command.communicate(timeout=LONG_S)
        assert (command.returncode, stderr) == (0, b"")


def test_a_full_disk_is_named_and_changes_no_exit_code(fake: FakeInventory) -> None:
    """A script must not take a reservation that was made for one that was rejected."""
    fake.will_answer("GetReservation", GetReservationResponse(reservation=HELD, read_time=NOON))

    with open("/dev/full", "wb") as full:
        command = start(fake, *GET, stdout=full.fileno())
        _, stderr = command.communicate(timeout=LONG_S)

    assert stderr.decode() == "holdfast: the output could not be written: No space left on device\n"
    assert command.returncode == 0


def test_a_message_that_cannot_be_written_stops_no_call(fake: FakeInventory) -> None:
    """The id that is made up goes to standard error before the call."""
    fake.will_answer("Reserve", ReserveResponse(reservation=HELD, read_time=NOON))

    with open("/dev/full", "wb") as full:
        command = start(fake, *RESERVE[:-2], stderr=full.fileno())
        stdout, _ = command.communicate(timeout=LONG_S)

    assert b"held  r-1" in stdout
    assert command.returncode == 0


def test_a_closed_output_changes_no_exit_code(fake: FakeInventory) -> None:
    """A command may be started without standard output at all."""
    fake.will_answer("GetSale", sale(TITLE))

    command = [sys.executable, "-c", SCRIPT, *SHOW, "--address", fake.address]
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *command], stderr=subprocess.PIPE, timeout=LONG_S)

    assert (done.returncode, done.stderr) == (0, b"")


def test_control_characters_of_titles_and_notes_are_escaped(fake: FakeInventory) -> None:
    """The text is another person's: printed as it is, it could clear the screen or forge a line."""
    attack = "\x1b[2J\r\nheld  r-1\x9b1m\u202e"
    fake.will_answer("GetSale", sale(attack))
    fake.will_answer(
        "GetReservation",
        GetReservationResponse(reservation=changed(HELD, note=attack, reservation_id=attack), read_time=NOON),
    )

    shown = run(fake, *SHOW).stdout + run(fake, *GET).stdout

    assert shown.count(r"\x1b[2J\r\nheld  r-1\x9b1m\u202e") == 3
    assert not set("\x1b\r\x9b\u202e") & set(shown)


def test_text_of_every_script_is_printed_as_it_is() -> None:
    """Joiners are control characters by their class, and part of emoji."""
    for text in (TITLE, "👩\u200d🔧", "a \\ b"):
        assert printable(text) == text


def test_an_sku_that_looks_like_an_emoji_is_printed_as_it_is(fake: FakeInventory) -> None:
    """A user copies it from the screen, and it may have colons."""
    fake.will_answer(
        "GetReservation",
        GetReservationResponse(reservation=Reservation(lines=[ReservationLine(sku="a:bulb:b")]), read_time=NOON),
    )

    assert "a:bulb:b" in run(fake, *GET).stdout


@pytest.mark.parametrize("seconds", [253402300799, -62135596800])
def test_a_time_at_the_end_of_the_calendar_is_printed(seconds: int) -> None:
    """Local time may be in the year 10000 then, which Python does not have."""
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        with local_zone(zone):
            assert local(Timestamp(seconds=seconds))
