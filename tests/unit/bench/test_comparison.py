"""A comparison is kept whatever fails in it, and docs/comparison.md says what its JSON has."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from bench.figures import BadPage
from bench.strategies.attempts import Attempts
from bench.strategies.books import Books
from bench.strategies.catalog import HOLDFAST, NAMES
from bench.strategies.comparison import Comparison, Plan
from bench.strategies.figures import JSON, PAGE, check, take, with_report
from bench.strategies.installations import Installations, Together
from bench.strategies.losses import Course, Loss
from bench.strategies.measuring import Cell, Cpu, MeasuredSale, SaleShape
from bench.strategies.report import lines_of
from bench.strategies.result import HEADLINES, THROUGHPUT, Result, load
from bench.strategies.system import System

CLEAN = Books(stock=10, told=10, recorded=10, counted=10, lost=0, unanswered=0)
SHAPE = SaleShape(10, 100, 5.0, sell_out_within_s=60.0)
MEASURED = MeasuredSale(
    books=CLEAN,
    answers=30,
    errors={"14": 2},
    answers_per_s=6.0,
    sold_out_after_s=0.71,
    accepted_ms={"p50": 1.0, "p95": 2.0, "p99": 3.0},
    sold_out_ms={"p50": 4.0, "p95": 5.0, "p99": 6.0},
    cpu_s_per_1000=Cpu(0.1, 0.2),
    on_disk="yes",
)
ORIGIN = {"command": "make compare", "taken": "2026-11-28T03:28:47+00:00", "machine": "2 cores", "commit": "0123456789"}
PLACE = "# A page\n<!-- report -->\n<!-- end -->\n## What was found\n"


def a_result(books: Books = CLEAN, commit: str = ORIGIN["commit"]) -> Result:
    """One row in each list, of Holdfast."""
    cell = Cell(HOLDFAST, SHAPE, replace(MEASURED, books=books))
    cells = {THROUGHPUT: [cell], HEADLINES: [cell]}
    return Result({**ORIGIN, "commit": commit}, "snapshots", cells, [Loss(HOLDFAST, "Redis killed", books, 7)])


class Broken(Installations):
    """Starts nothing; some loads fail, and in the end some installations do."""

    def __init__(self, fails_in_the_end: bool = False) -> None:
        self.starts = 0
        self._fails_in_the_end = fails_in_the_end

    @contextmanager
    def alone(self, name: str) -> Iterator[System]:
        """A system that nothing asks for anything."""
        self.starts += 1
        yield None  # type: ignore[misc]
        if self._fails_in_the_end:
            raise RuntimeError("the audit finds a difference")

    @contextmanager
    def together(self, names: Sequence[str]) -> Iterator[Together]:
        """None."""
        raise RuntimeError("no server starts")
        yield


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load on ten units fails."""

    def measure(_comparison: Comparison, _system: System, shape: SaleShape, _sale_id: str) -> MeasuredSale:
        if shape == SHAPE:
            raise TimeoutError("no answer")
        return MEASURED

    monkeypatch.setattr(Comparison, "_measure", measure)


def named(name: str) -> System:
    """A system that was not started."""
    system: System = Mock(spec=System)
    system.name, system.address = name, ""
    return system


def compared(plan: Plan, installations: Broken) -> Result:
    """What a comparison of nothing comes to."""
    result = Result(ORIGIN, "snapshots")
    Comparison(plan, installations, Path(), lambda line: None).run(result, lambda: None)
    return result


@pytest.mark.usefixtures("measured")
def test_a_load_that_fails_costs_its_own_row_alone() -> None:
    """The strategy is started anew for the rest."""
    installations, other = Broken(), replace(SHAPE, stock=11)

    result = compared(Plan(["x"], [(THROUGHPUT, other), (THROUGHPUT, SHAPE), (HEADLINES, other)], None), installations)

    assert result.cells == {
        THROUGHPUT: [Cell("x", other, MEASURED), Cell("x", SHAPE, None, "TimeoutError: no answer")],
        HEADLINES: [Cell("x", other, MEASURED)],
    }
    assert installations.starts == 2
    assert result.faults() == [f"x: {SHAPE.label}: failed"]


@pytest.mark.usefixtures("measured")
def test_what_fails_after_the_last_load_is_named_and_costs_no_row() -> None:
    """Holdfast's audit of all sales is then."""
    other = replace(SHAPE, stock=11)

    result = compared(Plan(["x"], [(THROUGHPUT, other)], None), Broken(fails_in_the_end=True))

    assert result.cells[THROUGHPUT] == [Cell("x", other, MEASURED)]
    assert result.faults() == ["x, after its last load: RuntimeError: the audit finds a difference"]


def test_a_fault_that_cannot_be_tried_has_a_row_for_each_strategy() -> None:
    """With the reason; the next fault is tried."""
    result = compared(Plan(NAMES, [], Course()), Broken())

    rows = [(row.fault, row.strategy, row.failure) for row in result.losses]
    assert ("Redis killed", "lua-queue", "RuntimeError: no server starts") in rows
    assert ("Redis killed", "atomic-update", "RuntimeError: no server starts") not in rows
    assert ("PostgreSQL away for 10 s", "atomic-update", "RuntimeError: no server starts") in rows
    assert len(result.faults()) == len(rows)


def test_a_system_that_has_failed_is_left_alone() -> None:
    """The others go on, and a later step does not hide the reason."""
    attempts, systems = Attempts(), [named("fails"), named("works")]

    def first(system: System) -> str:
        if system.name == "fails":
            raise TimeoutError("no answer")
        return "done"

    assert attempts.each(systems, first) == {"works": "done"}
    assert attempts.each(systems, lambda system: system.address) == {"works": ""}
    assert attempts.failures == {"fails": "TimeoutError: no answer"}


def test_a_result_is_read_as_it_was_saved(tmp_path: Path) -> None:
    """Rows that failed, too."""
    saved = a_result()
    saved.cells[HEADLINES].append(Cell("lua-queue", SHAPE, None, "TimeoutError: no answer"))
    saved.losses.append(Loss("lua-queue", "Redis killed", None, 0, "TimeoutError: no answer"))
    saved.save(tmp_path / "result.json")

    assert load(tmp_path / "result.json") == saved


def test_books_of_holdfast_that_are_not_clean_are_named() -> None:
    """In every table; they end the comparison with exit code 1."""
    assert a_result().faults() == []
    assert [fault.split(": ")[1] for fault in a_result(replace(CLEAN, lost=1)).faults()] == [
        *(SHAPE.label,) * 2,
        "Redis killed",
    ]


def test_a_report_has_a_row_for_each_measurement() -> None:
    """With the stock, the books, the latencies and the errors; of one that failed, with the reason."""
    result = a_result(replace(CLEAN, told=9))
    result.cells[THROUGHPUT].append(Cell("lua-queue", SHAPE, None, "TimeoutError: no | answer\nfor long"))

    report = list(lines_of(result))

    assert "| holdfast | 3 | 0 | 0 | 0 | 0 | 0 |" in report
    figures = "13 | 1.0 | 2.0 | 3.0 | 0.71 | 5 | 6.0 | 6 | 2 | 0.100 | 0.200"
    assert f"| holdfast | 100 | 9 / 10 | 10 | 0 | {figures} |" in report
    assert f"| lua-queue | 100 | failed: TimeoutError: no / answer |{'  |' * 13}" in report
    assert "| Redis killed | holdfast | 9 / 10 | 10 | 0 | 0 | 0 | 0 | 0 | 7 |" in report


def test_a_stock_that_was_not_sold_out_says_how_far_it_came() -> None:
    """By the counter that decides: where updates are lost it falls more slowly than units are sold."""
    result = a_result()
    result.cells[THROUGHPUT] = [Cell("read-modify-write", SHAPE, replace(MEASURED, sold_out_after_s=None))]

    assert any(" | not: 10 by its counter | " in line for line in lines_of(result))


def test_the_report_of_a_page_is_written_from_its_json() -> None:
    """And a page that says something else is found out."""
    result = a_result()
    page = with_report(PLACE, result)

    assert with_report(page, result) == page
    check(f"{page}It sold [10](comparison.json#losses/0/books/told).\n", result)
    for bad, why in (
        (page.replace("0.71", "0.72"), "the report differs"),
        (f"{page}It sold 10 units.\n", "a figure leads to no JSON: It sold 10 units."),
        (f"{page}It sold [11](comparison.json#losses/0/books/told).\n", "11 is not what comparison.json has"),
        ("# A page\n", "one place"),
    ):
        with pytest.raises(BadPage, match=why):
            check(bad, result)


def test_a_result_of_a_changed_checkout_is_not_taken(tmp_path: Path) -> None:
    """It cannot be repeated."""
    a_result(commit="0123456789-dirty").save(tmp_path / "newest.json")

    with pytest.raises(BadPage, match="is of a checkout with changes"):
        take(tmp_path / "newest.json", tmp_path / "taken.json")
    assert not (tmp_path / "taken.json").exists()


def test_the_page_says_what_its_json_has() -> None:
    """Every table of docs/comparison.md is of one run of a commit, which lies beside it."""
    result = load(JSON)

    check(PAGE.read_text(), result)
    assert not result.origin["commit"].endswith("-dirty")


def test_what_the_page_claims_is_in_its_json() -> None:
    """What a newer run would have to show again, or the sentences be changed."""
    result = load(JSON)
    books = {name: [books for strategy, _, books in result.sales() if strategy == name] for name in NAMES}
    fallen = {(loss.fault.partition(" ")[0], loss.strategy): loss.books for loss in result.losses}

    assert max(each.oversold for each in books["read-modify-write"] if each) > 0
    for correct in ("atomic-update", "select-for-update", HOLDFAST):
        assert all(each is not None and each.are_clean for each in books[correct]), correct
    for server in ("lua-insert", "decr-queue", "lua-queue"):
        assert (lost := fallen["Redis", server]) is not None
        assert lost.oversold + lost.lost > 0, server
    assert (away := fallen["PostgreSQL", "lua-insert"]) is not None
    assert away.units_lost > 0
    assert (given_back := fallen["PostgreSQL", "lua-queue"]) is not None
    assert given_back.lost > 0
    errors = {loss.strategy: loss.errors for loss in result.losses if loss.fault == "Redis killed"}
    assert max(errors, key=lambda name: errors[name]) == HOLDFAST
