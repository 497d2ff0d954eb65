"""Watches of the `holdfast` command: a line a change, also as JSON, and how they end."""

import json
from datetime import timedelta
from typing import Any

import grpc
import pytest
from holdfast.cli.changes import SaleChanges
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.inventory_service_pb2 import WatchReservationResponse, WatchSaleResponse
from holdfast.inventory.v1.reservation_pb2 import LedgerState, Reservation, ReservationState
from holdfast.inventory.v1.sale_pb2 import Item, Sale, SaleState

from tests.unit.clients.cli.command import HELD, NOON, run
from tests.unit.clients.fake_inventory import FakeInventory, Step, error_status, unavailable

WATCH_SALE, WATCH_RESERVATION = ("sale", "watch", "lamps"), ("reservation", "watch", "lamps", "r-1")


def message(
    *items: Item, state: SaleState = SaleState.SALE_STATE_OPEN, etag: str = "e-1", **fields: Any
) -> WatchSaleResponse:
    """A message about the sale of lamps."""
    sale = Sale(sale_id="lamps", state=state, etag=etag, items=items)
    return WatchSaleResponse(sale=sale, read_time=NOON, **fields)


def lamps(available: int, held: int) -> Item:
    return Item(sku="lamp", available=available, held=held, total=available + held)


def test_a_sale_makes_a_line_for_each_change_and_none_for_the_rest(fake: FakeInventory) -> None:
    """Neither a heartbeat nor the snapshot of a watch that was begun again says anything new."""
    shade = Item(sku="shade", available=20, total=20)
    fake.will_answer(
        "WatchSale",
        [
            message(lamps(5000, 0), shade, snapshot=True, until_end=timedelta(hours=2)),
            message(lamps(4998, 2)),
            message(),
            unavailable(ErrorReason.ERROR_REASON_SERVER_DRAINING),
        ],
        [
            message(lamps(4998, 2), shade, snapshot=True),
            message(etag="e-2", ledger_lag=timedelta(seconds=3)),
            message(lamps(5000, 0), state=SaleState.SALE_STATE_CLOSED, etag="e-3"),
        ],
    )

    done = run(fake, *WATCH_SALE)

    assert done.exit_code == 0, done.stderr
    assert [line.split("  ", 1)[1] for line in done.stdout.splitlines()] == [
        "open  lamps, ends in 2 h",
        "lamp  5,000 available, 0 held, 0 sold, 5,000 in all",
        "shade  20 available, 0 held, 0 sold, 20 in all",
        "lamp  4,998 available, 2 held, 0 sold, 5,000 in all",
        "settings changed  lamps  etag e-2  (the ledger is 3 s behind)",
        "closed  lamps",
        "lamp  5,000 available, 0 held, 0 sold, 5,000 in all",
    ]
    assert "there is no more to watch" in done.stderr


def test_a_sale_that_waits_says_until_when() -> None:
    """An operator who waits for the start looks for nothing else."""
    waiting = message(state=SaleState.SALE_STATE_SCHEDULED, until_start=timedelta(minutes=10))

    [line] = SaleChanges().lines(waiting)

    assert line.endswith("scheduled  lamps, starts in 10 min")


def test_a_reservation_makes_a_line_for_each_change(fake: FakeInventory) -> None:
    """Of the reservation, or of what the ledger says; and none for one that was told before."""
    recorded, confirmed = Reservation(), Reservation()
    recorded.MergeFrom(HELD)
    recorded.ledger_state = LedgerState.LEDGER_STATE_RECORDED
    confirmed.MergeFrom(recorded)
    confirmed.revision, confirmed.state = 2, ReservationState.RESERVATION_STATE_CONFIRMED
    confirmed.lines[0].confirmed_quantity = 1
    told: list[Step] = [
        WatchReservationResponse(reservation=one, read_time=NOON) for one in (HELD, recorded, recorded, confirmed)
    ]
    fake.will_answer("WatchReservation", told)

    done = run(fake, *WATCH_RESERVATION)

    first, second, third = (line.split("  ", 1)[1] for line in done.stdout.splitlines())
    assert first.startswith("held  r-1  2 lamp, held until 2026-11-27 ")
    assert (first[-15:], second[-16:]) == ("ledger: pending", "ledger: recorded")
    assert third == "confirmed  r-1  2 lamp, 1 sold; ledger: recorded"


def test_a_watch_as_json_has_every_message_on_a_line_and_the_failure_too(fake: FakeInventory) -> None:
    """A script that reads line by line needs no other form for the last one."""
    not_found = error_status(grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_SALE_NOT_FOUND, sale_id="lamps")
    fake.will_answer("WatchSale", [message(lamps(1, 0), snapshot=True), message(), not_found])

    failed = run(fake, *WATCH_SALE, "--json")

    first, heartbeat, failure = map(json.loads, failed.stdout.splitlines())
    assert first["sale"]["items"][0]["available"] == 1
    assert heartbeat["sale"]["items"] == []
    assert failure["error"]["reason"] == "ERROR_REASON_SALE_NOT_FOUND"
    assert failed.stderr == "holdfast: sale lamps: does not exist [SALE_NOT_FOUND]\n"
    assert failed.exit_code == 1


@pytest.mark.parametrize("words", [WATCH_SALE, WATCH_RESERVATION], ids=" ".join)
def test_a_watch_that_no_server_takes_up_again_fails(fake: FakeInventory, words: tuple[str, ...]) -> None:
    """Once the server asks for a longer pause than --timeout leaves, as any call."""
    method = "WatchSale" if "sale" in words else "WatchReservation"
    fake.will_answer(method, *[unavailable(ErrorReason.ERROR_REASON_STORE_UNREACHABLE, 60.0)] * 9)

    failed = run(fake, *words, "--timeout", "30")

    assert "the server cannot answer now" in failed.stderr
    assert failed.exit_code == 2
