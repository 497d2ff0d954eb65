"""Which orders are refused for good, at which step, and what a SQLSTATE means."""

from collections.abc import Sequence

import pytest

from bench.commits import CONFIRMED, HELD, RELEASED, RETURNED, START_MS, TENANT, FakeShard
from order_persister.domain.changes import Created
from order_persister.domain.fold import EARLIER_RUN, Refusal, orders_from
from order_persister.domain.refusals import (
    BLOCKED,
    REUSED,
    VIOLATED,
    Block,
    ErrorKind,
    PermanentError,
    bisect,
    buyers_to_check,
    classify,
    refusal_for,
    refusals_before_writing,
)
from tests.unit.order_persister.domain.runs import accepted


@pytest.mark.parametrize("sqlstate", ["22001", "22003", "22021", "23503", "23505", "23514"])
def test_bad_data_and_violated_constraints_are_permanent(sqlstate: str) -> None:
    """A retry would fail in the same way."""
    assert classify(sqlstate) is ErrorKind.PERMANENT


@pytest.mark.parametrize(
    "sqlstate",
    [
        *("08000", "08006", "40001", "40P01", "53100", "53300", "55P03", "57014", "57P01", "57P03", "58030"),
        *("25006", "28P01", "3D000", "42P01", "23502", "XX000", None),
    ],
)
def test_every_other_sqlstate_is_transient(sqlstate: str | None) -> None:
    """An outage is not a failure: nothing is compensated for it, however long it lasts."""
    assert classify(sqlstate) is ErrorKind.TRANSIENT


def refusals_of(
    shard: FakeShard, first: int = 0, earlier: dict[Created, Refusal] | None = None, blocked_at_ms: int = 0
) -> list[Refusal]:
    orders = orders_from(accepted(shard.commits[first:]))
    blocks = {(TENANT, "b-1"): Block(blocked_at_ms, "fraud")}
    return list(refusals_before_writing(orders.values(), earlier or {}, blocks).values())


def test_a_blocked_buyers_order_is_refused_at_its_creation() -> None:
    """Also if the run has the confirm: the order never was in the ledger."""
    shard = FakeShard()
    shard.moves(("r-1", HELD))
    shard.moves(("r-1", CONFIRMED))

    assert refusals_of(shard) == [Refusal(0, BLOCKED, "the buyer is blocked: fraud", at_creation=True)]


def test_a_hold_from_before_the_block_is_refused_at_its_confirm() -> None:
    """The hold itself is in the ledger already."""
    shard = FakeShard()
    shard.moves(("r-1", HELD))
    shard.moves(("r-1", CONFIRMED))

    assert refusals_of(shard, first=1) == [Refusal(0, BLOCKED, "the buyer is blocked: fraud", at_creation=False)]


@pytest.mark.parametrize(
    ("blocked_after", "expected"),
    [(0, (0, True)), (1, (1, False)), (2, None)],
    ids=["before the hold", "after the hold", "after the confirm"],
)
def test_a_block_counts_from_its_own_time(blocked_after: int, expected: tuple[int, bool] | None) -> None:
    """A ledger that was set back reads again, in one run, what was recorded before the block, and callers know."""
    shard = FakeShard()
    shard.moves(("r-1", HELD))
    shard.moves(("r-1", CONFIRMED))

    found = refusals_of(shard, blocked_at_ms=START_MS + blocked_after + 1)

    assert [(refusal.step, refusal.at_creation) for refusal in found] == ([expected] if expected else [])


def test_a_blocked_buyer_may_release_and_return() -> None:
    """Only the creation and the confirm of an order can be refused."""
    shard = FakeShard()
    shard.moves(("r-1", HELD))
    shard.moves(("r-1", RELEASED))

    assert refusals_of(shard, first=1) == []
    assert buyers_to_check(orders_from(accepted(shard.commits[1:])).values()) == set()


def test_an_id_that_is_created_twice_in_one_run_is_reused() -> None:
    """It belongs to the first order, also after that has ended."""
    shard = FakeShard()
    shard.moves(("r-1", HELD), buyer="b-2")
    shard.moves(("r-1", RELEASED))
    shard.archive("r-1")
    shard.moves(("r-1", HELD), buyer="b-3")

    assert [refusal.reason for refusal in refusals_of(shard)] == [REUSED]


def test_an_order_stays_refused() -> None:
    """Later changes of a refused order go to its dead letter, blocked buyer or not."""
    shard = FakeShard()
    shard.moves(("r-1", HELD))
    shard.moves(("r-1", CONFIRMED))
    earlier = Refusal(EARLIER_RUN, VIOLATED, "broken", at_creation=True)

    assert refusals_of(shard, first=1, earlier={Created(1, 1, 0): earlier}) == [earlier]


@pytest.mark.parametrize(
    ("states", "first", "step", "expected"),
    [
        ([HELD], 0, 0, Refusal(0, VIOLATED, "broken", at_creation=True)),
        ([HELD, CONFIRMED], 0, 0, Refusal(0, VIOLATED, "broken", at_creation=True)),
        ([HELD, CONFIRMED], 0, 1, Refusal(1, VIOLATED, "broken", at_creation=False)),
        ([HELD, CONFIRMED], 1, 0, Refusal(0, VIOLATED, "broken", at_creation=False)),
        ([HELD, RELEASED], 0, 1, None),
        ([HELD, RELEASED], 1, 0, None),
        ([HELD, CONFIRMED, RETURNED], 0, 2, None),
        ([HELD, HELD, CONFIRMED], 1, 0, None),
    ],
)
def test_a_violated_constraint_refuses_the_creation_or_the_confirm(
    states: list[int], first: int, step: int, expected: Refusal | None
) -> None:
    """A step that gives units back is never refused: the shard freezes."""
    shard = FakeShard()
    for state in states:
        shard.moves(("r-1", state))
    [order] = orders_from(accepted(shard.commits[first:])).values()

    assert refusal_for(order, step, PermanentError("broken")) == expected


@pytest.mark.parametrize("bad", [set(), {0}, {999}, {3, 4, 500}])
async def test_bisecting_finds_exactly_the_rows_that_are_rejected(bad: set[int]) -> None:
    """The others are written, each once."""

    async def attempt(rows: Sequence[int]) -> Sequence[int]:
        if bad & set(rows):
            raise PermanentError("broken")
        return rows

    results, rejected = await bisect(range(1000), attempt)

    assert {row for row, _ in rejected} == bad
    assert [row for rows in results for row in rows] == sorted(set(range(1000)) - bad)
