"""The arithmetic of the comparison: what books say, what a worker may record, and the frames of its client."""

import pytest

from bench.strategies.base import Order
from bench.strategies.books import Books
from bench.strategies.catalog import NAMES, POSTGRES, REDIS, SERVER, WORKER, has
from bench.strategies.decr_queue import within
from bench.strategies.http2 import NO_STATUS, frame, status_in
from bench.strategies.measuring import percentiles
from bench.strategies.server import GC_THRESHOLDS, LISTENERS, OPTIONS
from inventory_service.rpc import server
from inventory_service.settings import Settings
from inventory_service.wiring import serve

CLEAN = {"stock": 10, "told": 10, "recorded": 10, "counted": 10, "lost": 0, "unanswered": 0}


def order(number: int, quantity: int = 1) -> Order:
    """One of several."""
    return Order("lamp-sale", f"r-{number}", "ann", "lamp", quantity)


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, (True, 0, 0, 0)),
        ({"told": 12, "lost": 2}, (False, 0, 2, 0)),
        ({"told": 30, "recorded": 30}, (False, 20, 20, 0)),
        ({"told": 8, "recorded": 8}, (False, 2, 0, 2)),
        ({"told": 9, "unanswered": 1}, (True, 0, 0, 0)),
    ],
    ids=["clean", "sold twice and lost", "oversold", "units lost", "recorded, not told"],
)
def test_books_say_what_is_wrong(changed: dict[str, int], found: tuple[bool, int, int, int]) -> None:
    """Clean, divergence, oversold, units lost. An order whose answer was lost is no fault of the books."""
    books = Books(**{**CLEAN, **changed})

    assert (books.are_clean, books.divergence, books.oversold, books.units_lost) == found


def test_a_worker_records_no_order_twice_and_none_beyond_the_stock() -> None:
    """Orders that were delivered before take no stock; a large one that does not fit leaves room for a small one."""
    fits, taken = within(3, [order(1), order(2, 2), order(3, 2), order(4)], known={"r-1"})

    assert ([each.reservation_id for each in fits], taken) == (["r-2", "r-4"], 3)


def test_an_order_comes_out_of_a_stream_as_it_went_in() -> None:
    """A stream has texts only."""
    assert Order.from_fields(order(1, 7).fields) == order(1, 7)


def test_a_status_is_read_from_uncompressed_trailers() -> None:
    """The name, the length of the value, the value."""
    assert status_in(b"\x00\x0bgrpc-status\x0214\x00\x0cgrpc-message\x00") == "14"
    assert status_in(b"\x88") == NO_STATUS


def test_a_frame_has_its_length_in_three_bytes() -> None:
    """Then the kind, the flags and the stream."""
    assert frame(1, 4, 5, b"abc") == b"\0\0\x03\x01\x04\0\0\0\x05abc"


def test_percentiles_are_by_nearest_rank() -> None:
    """None of nothing."""
    assert percentiles([3.0, 1.0, 2.0]) == {"p50": 2.0, "p95": 3.0, "p99": 3.0}
    assert percentiles([]) == {}


def test_the_servers_of_the_six_are_set_up_as_that_of_holdfast() -> None:
    """As many server objects, as many calls that may wait, and garbage collections as rarely."""
    assert Settings.model_fields["listeners"].default == LISTENERS
    assert set(OPTIONS) <= set(server.OPTIONS)
    assert serve.GC_THRESHOLDS == GC_THRESHOLDS


@pytest.mark.parametrize(
    ("part", "without"),
    [
        (REDIS, {"read-modify-write", "atomic-update", "select-for-update"}),
        (WORKER, {"read-modify-write", "atomic-update", "select-for-update", "lua-insert"}),
        (SERVER, set()),
        (POSTGRES, set()),
    ],
)
def test_a_strategy_is_left_out_where_the_part_that_fails_is_none_of_its_own(part: str, without: set[str]) -> None:
    """All others get the fault."""
    assert {name for name in NAMES if not has(name, part)} == without
