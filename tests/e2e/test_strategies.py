"""The strategies of `make compare` have the books that are known of them; test_benchmarks.py has each sell."""

from pathlib import Path

import pytest

from bench.strategies.callers import SaleLoad
from bench.strategies.catalog import POSTGRES
from bench.strategies.holdfast_system import HoldfastSystem
from bench.strategies.installations import Installations
from bench.strategies.load_process import loading
from bench.strategies.losses import Course, Fault, FaultRun
from bench.strategies.measuring import SaleShape, measure
from tests.stacks import Running

FEW = SaleShape(stock=300, callers=20, seconds=0.5, sell_out_within_s=60.0)
NOT_FOUND = "5"
AUDIT_S = 60.0
AWAY_S = 5.0


@pytest.fixture
def holdfast(usual_stack: Running) -> HoldfastSystem:
    """Holdfast, on the stack of the other tests."""
    return HoldfastSystem(usual_stack.stack)


def test_a_failed_insert_loses_the_unit_of_a_script(tmp_path: Path) -> None:
    """While PostgreSQL is away the script goes on taking units; where PostgreSQL counts, none is lost."""
    away = FaultRun(Fault("away", POSTGRES, AWAY_S), Course(before_s=0.5, after_s=1.0), tmp_path)

    with Installations(tmp_path, "snapshots", print).together(["atomic-update", "lua-insert"]) as running:
        kept, lost = away.losses(*running)

    assert kept.books is not None, kept.failure
    assert lost.books is not None, lost.failure
    assert kept.errors
    assert lost.errors
    assert kept.books.units_lost == 0
    assert lost.books.units_lost > 0


def test_the_audit_agrees_with_the_books(holdfast: HoldfastSystem, tmp_path: Path) -> None:
    """The count that is independent of Holdfast, and Holdfast's own."""
    books_of_sale = measure(holdfast, FEW, "audited", tmp_path).books

    assert books_of_sale.are_clean
    assert books_of_sale.told == books_of_sale.stock
    assert "1 sale" in holdfast.audit("audited", deadline_s=AUDIT_S)


def test_callers_count_failures_by_their_status(holdfast: HoldfastSystem, tmp_path: Path) -> None:
    """A call that fails is neither sold nor sold out."""
    with loading(SaleLoad(holdfast.address, "no-such-sale", callers=2, seconds=0.3), tmp_path) as load:
        load.begin()
        outcome = load.outcome()

    assert outcome.answers == 0
    assert outcome.failures[NOT_FOUND] > 0
