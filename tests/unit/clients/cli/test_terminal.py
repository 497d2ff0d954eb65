"""The output of the `holdfast` command with limited encodings, closed pipes, full disks and control characters."""

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from holdfast.cli.render import local
from holdfast.cli.terminal import printable
from holdfast.inventory.v1.inventory_service_pb2 import GetReservationResponse, GetSaleResponse, ReserveResponse
from holdfast.inventory.v1.reservation_pb2 import Reservation, ReservationLine

from tests.unit.clients.cli.command import HELD, NOON, RESERVE, SALE, run, run_with, text_of, written
from tests.unit.clients.fake_inventory import FakeInventory
from tests.unit.clients.zone import local_zone

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


@contextmanager
def broken(file: str | int, *, is_buffered: bool = True) -> Iterator[io.TextIOWrapper]:
    """An output that takes nothing, made as Python makes its own: without a buffer each write fails, else the flush."""
    raw = io.FileIO(file, "w")
    output = io.TextIOWrapper(io.BufferedWriter(raw) if is_buffered else raw, write_through=not is_buffered)
    yield output
    with suppress(OSError):
        output.close()


def closed_pipe() -> int:
    """The end to write to, of a pipe without a reader."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def test_what_the_encoding_lacks_is_printed_as_an_escape(fake: FakeInventory) -> None:
    """The call was made, so its exit code is 0 whatever the terminal can show, and JSON stays JSON."""
    fake.will_answer("GetSale", sale(TITLE), sale(TITLE))
    text, as_json, stderr = written("latin-1"), written("latin-1"), written()

    codes = [
        run_with(fake, *SHOW, stdout=text, stderr=stderr),
        run_with(fake, *SHOW, "--json", stdout=as_json, stderr=stderr),
    ]

    assert (codes, text_of(stderr)) == ([0, 0], "")
    assert r"Glühlampen \u96fb\u706f \U0001f4a1" in text_of(text)
    assert json.loads(text_of(as_json))["sale"]["title"] == TITLE


@pytest.mark.parametrize("is_buffered", [True, False])
@pytest.mark.parametrize("words", [(*SHOW, "--json"), ("sale", "--help")], ids=" ".join)
def test_no_write_to_a_closed_pipe_is_reported(fake: FakeInventory, words: tuple[str, ...], is_buffered: bool) -> None:
    """Nor of help, which is written without a call."""
    fake.will_answer("GetSale", sale(TITLE))
    stderr = written()

    with broken(closed_pipe(), is_buffered=is_buffered) as pipe:
        code = run_with(fake, *words, stdout=pipe, stderr=stderr)

    assert (code, text_of(stderr)) == (0, "")


def test_a_full_disk_is_named_and_changes_no_exit_code(fake: FakeInventory) -> None:
    """A script must not take a reservation that was made for one that was rejected."""
    fake.will_answer("GetReservation", GetReservationResponse(reservation=HELD, read_time=NOON))
    stderr = written()

    with broken("/dev/full") as full:
        code = run_with(fake, *GET, stdout=full, stderr=stderr)

    assert text_of(stderr) == "holdfast: the output could not be written: No space left on device\n"
    assert code == 0


def test_a_message_that_cannot_be_written_stops_no_call(fake: FakeInventory) -> None:
    """The id that is made up goes to standard error before the call."""
    fake.will_answer("Reserve", ReserveResponse(reservation=HELD, read_time=NOON))
    stdout = written()

    with broken("/dev/full") as full:
        code = run_with(fake, *RESERVE[:-2], stdout=stdout, stderr=full)

    assert "held  r-1" in text_of(stdout)
    assert code == 0


def test_a_closed_output_changes_no_exit_code(fake: FakeInventory) -> None:
    """A command may be started without standard output at all, and then Python has none."""
    fake.will_answer("GetSale", sale(TITLE))
    stderr = written()

    code = run_with(fake, *SHOW, stdout=None, stderr=stderr)

    assert (code, text_of(stderr)) == (0, "")


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
