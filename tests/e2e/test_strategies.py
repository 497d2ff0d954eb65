"""The strategies of `make compare`: each starts and sells, and has the books that are known of it."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from bench.strategies import books
from bench.strategies.callers import Load
from bench.strategies.catalog import HOLDFAST, NAMES, POSTGRES, SERVERS
from bench.strategies.holdfast_system import HoldfastSystem
from bench.strategies.load_process import loading
from bench.strategies.losses import Course, Fault, FaultRun
from bench.strategies.measuring import Shape, measure
from bench.strategies.stores import Stores
from bench.strategies.system import StrategySystem, System
from tests.stacks import Running

# More callers than connections, of which the default of the client of Redis is a hundred.
FEW = Shape(stock=5, callers=150, seconds=0.5, sell_out_within_s=60.0)
NOT_FOUND = "5"
AUDIT_S = 60.0
AWAY_S = 5.0
Six = tuple[dict[str, StrategySystem], Stores]


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Six]:
    """The six, on one Redis and one PostgreSQL."""
    folder = tmp_path_factory.mktemp("strategies")
    stores = Stores(folder, "snapshots")
    with ExitStack() as held:
        held.callback(stores.stop)
        stores.start()
        systems = {name: StrategySystem(name, folder, stores) for name in SERVERS}
        for system in systems.values():
            held.callback(system.stop)
            system.start()
        yield systems, stores


@pytest.fixture
def holdfast(usual_stack: Running) -> HoldfastSystem:
    """Holdfast, on the stack of the other tests."""
    return HoldfastSystem(usual_stack.stack)


@pytest.fixture(params=NAMES)
def system(request: pytest.FixtureRequest, six: Six) -> System:
    """Each of the seven."""
    if request.param == HOLDFAST:
        found: System = request.getfixturevalue("holdfast")
        return found
    return six[0][request.param]


def test_a_strategy_sells_few_units_to_many_callers(system: System, tmp_path: Path) -> None:
    """All but one sell every unit once while no process dies. Two reads of one stock sell a unit twice."""
    measured = measure(system, FEW, f"few-{system.name}", tmp_path)

    assert not measured.errors
    assert set(measured.percentiles_ms) == {"p50", "p95", "p99"}
    assert measured.sold_out_after_s is not None
    if system.name == "read-modify-write":
        assert measured.books.oversold > 0
        assert measured.books.divergence > 0
    else:
        assert measured.answers > FEW.stock
        assert measured.books == books.Books(stock=5, told=5, recorded=5, counted=5, lost=0, unanswered=0)


def test_a_failed_insert_loses_the_unit_of_a_script(six: Six, tmp_path: Path) -> None:
    """While PostgreSQL is away the script goes on taking units; where PostgreSQL counts, none is lost."""
    systems, stores = six
    names = ("atomic-update", "lua-insert")
    course = Course(before_s=0.5, after_s=1.0)

    run = FaultRun(Fault("away", POSTGRES, AWAY_S), course, tmp_path)
    kept, lost = run.losses([systems[name] for name in names], stores)

    assert kept.books is not None, kept.failure
    assert lost.books is not None, lost.failure
    assert kept.errors
    assert lost.errors
    assert kept.books.units_lost == 0
    assert lost.books.units_lost > 0


def test_the_audit_agrees_with_the_books(holdfast: HoldfastSystem, tmp_path: Path) -> None:
    """The count that is independent of Holdfast, and Holdfast's own."""
    shape = replace(FEW, stock=300, callers=20)

    books_of_sale = measure(holdfast, shape, "audited", tmp_path).books

    assert books_of_sale.are_clean
    assert books_of_sale.told == books_of_sale.stock
    assert "1 sale" in holdfast.audit("audited", deadline_s=AUDIT_S)


def test_callers_count_failures_by_their_status(holdfast: HoldfastSystem, tmp_path: Path) -> None:
    """A call that fails is neither sold nor sold out."""
    with loading(Load(holdfast.address, "no-such-sale", callers=2, seconds=0.3), tmp_path) as load:
        load.begin()
        outcome = load.outcome()

    assert outcome.answers == 0
    assert outcome.failures[NOT_FOUND] > 0
