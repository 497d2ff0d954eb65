"""The arithmetic of the comparison: what books say, what a worker may record, and the frames of its client."""

from pathlib import Path

import pytest

from bench.machine import ROOT
from bench.strategies.base import Order
from bench.strategies.books import Books
from bench.strategies.decr_queue import within
from bench.strategies.http2 import NO_STATUS, frame, status_in
from bench.strategies.losses import Loss
from bench.strategies.measuring import Measured, Shape, percentiles
from bench.strategies.report import Result, lines_of, load

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


def a_result(**changed: int) -> Result:
    """One row in each list, of Holdfast."""
    books = Books(**{**CLEAN, **changed})
    row = Measured(
        strategy="holdfast",
        shape=Shape(10, 100, 5.0, ramp_s=1.0),
        books=books,
        answers=30,
        errors={"14": 2},
        answers_per_s=6.0,
        percentiles_ms={"p50": 1.0, "p95": 2.0, "p99": 3.0},
        accepted_ms={},
        sold_out_ms={},
        cpu_s_per_1000=0.1,
        stores_cpu_s_per_1000=0.2,
        client_cpu_s_per_1000=0.3,
        on_disk="yes",
    )
    return Result("make compare", "2 cores", "snapshots", [row], [Loss("holdfast", "Redis killed", books, 7)], [row])


def test_a_result_is_read_as_it_was_saved(tmp_path: Path) -> None:
    """So that a page can be held against it."""
    (saved := a_result()).save(tmp_path / "result.json")

    assert load(tmp_path / "result.json") == saved


def test_books_of_holdfast_that_are_not_clean_are_named() -> None:
    """In every table; they end the comparison with exit code 1."""
    assert a_result().unclean() == []
    assert [sale.partition(":")[0] for sale in a_result(lost=1).unclean()] == [
        *("100 callers, 5 s (1 s ramp), 10 units",) * 2,
        "Redis killed",
    ]


def test_a_report_has_a_row_for_each_measurement() -> None:
    """With the stock, the books, the latencies and the errors."""
    report = list(lines_of(a_result(told=9)))

    assert "| holdfast | 100 | 9 / 10 | 10 | 0 | 1.0 | 2.0 | 3.0 | 6 | 2 | 0.100 | 0.200 |" in report
    assert "| Redis killed | holdfast | 9 / 10 | 10 | 0 | 0 | 0 | 0 | 7 |" in report


def test_the_page_shows_what_its_json_has() -> None:
    """Every table of docs/comparison.md is of one run, which lies beside it."""
    page = (ROOT / "docs" / "comparison.md").read_text()

    assert "\n".join(lines_of(load(ROOT / "docs" / "comparison.json"))) in page
