"""Which orders are refused for good, at which step, and what a SQLSTATE means."""

from collections.abc import Sequence

import pytest

from bench.commits import CONFIRMED, HELD, RELEASED, RETURNED, TENANT, FakeShard
from order_persister.domain.fold import EARLIER_RUN, Created, Refusal, orders_from
from order_persister.domain.refusals import (
    BLOCKED,
    REUSED,
    VIOLATED,
    ErrorKind,
    PermanentError,
    bisect,
    blockable,
    classify,
    refusal_for,
    refused_without_trying,
)
from tests.unit.test_fold import taken

FRAUD = {(TENANT, "b-1"): "fraud"}


@pytest.mark.parametrize("sqlstate", ["22001", "22003", "22021", "23502", "23505", "23514"])
def test_bad_data_and_broken_constraints_are_for_good(sqlstate: str) -> None:
    """Waiting would not mend them."""
    assert classify(sqlstate) is ErrorKind.PERMANENT


@pytest.mark.parametrize(
    "sqlstate",
    [
        *("08000", "08006", "40001", "40P01", "53100", "53300", "55P03", "57014", "57P01", "57P03", "58030"),
        *("25006", "28P01", "3D000", "42P01", "XX000", None),
    ],
)
def test_everything_else_is_an_outage(sqlstate: str | None) -> None:
    """An outage is not a failure: nothing is compensated for it, however long it lasts."""
    assert classify(sqlstate) is ErrorKind.TRANSIENT


def judged(shard: FakeShard, first: int = 0, earlier: dict[Created, Refusal] | None = None) -> list[Refusal]:
    orders = orders_from(taken(shard.commits[first:]))
    return list(refused_without_trying(orders.values(), earlier or {}, FRAUD).values())


def test_a_blocked_buyer_is_refused_at_the_making() -> None:
    """Also when the run holds the confirm: then nothing of it ever was the ledger's."""
    shard = FakeShard()
    shard.moves(("r-1", HELD))
    shard.moves(("r-1", CONFIRMED))

    assert judged(shard) == [Refusal(0, BLOCKED, "the buyer is blocked: fraud", at_making=True)]


def test_a_hold_made_before_the_block_is_refused_at_its_confirm() -> None:
    """The hold itself was taken in good faith."""
    shard = FakeShard()
    shard.moves(("r-1", HELD))
    shard.moves(("r-1", CONFIRMED))

    assert judged(shard, first=1) == [Refusal(0, BLOCKED, "the buyer is blocked: fraud", at_making=False)]


def test_a_blocked_buyer_may_give_back() -> None:
    """Only the making and the confirming of an order can be refused."""
    shard = FakeShard()
    shard.moves(("r-1", HELD))
    shard.moves(("r-1", RELEASED))

    assert judged(shard, first=1) == []
    assert blockable(orders_from(taken(shard.commits[1:])).values()) == set()


def test_an_id_that_is_made_twice_in_one_run_is_reused() -> None:
    """The first keeps it, whatever became of the first."""
    shard = FakeShard()
    shard.moves(("r-1", HELD), buyer="b-2")
    shard.moves(("r-1", RELEASED))
    shard.forget("r-1")
    shard.moves(("r-1", HELD), buyer="b-3")

    assert [refusal.reason for refusal in judged(shard)] == [REUSED]


def test_an_order_stays_refused() -> None:
    """What a refused order does later is the dead letter's business, block or no block."""
    shard = FakeShard()
    shard.moves(("r-1", HELD))
    shard.moves(("r-1", CONFIRMED))
    earlier = Refusal(EARLIER_RUN, VIOLATED, "broken", at_making=True)

    assert judged(shard, first=1, earlier={Created(1, 1, 0): earlier}) == [earlier]


@pytest.mark.parametrize(
    ("states", "first", "step", "expected"),
    [
        ([HELD], 0, 0, Refusal(0, VIOLATED, "broken", at_making=True)),
        ([HELD, CONFIRMED], 0, 0, Refusal(0, VIOLATED, "broken", at_making=True)),
        ([HELD, CONFIRMED], 0, 1, Refusal(1, VIOLATED, "broken", at_making=False)),
        ([HELD, CONFIRMED], 1, 0, Refusal(0, VIOLATED, "broken", at_making=False)),
        ([HELD, RELEASED], 0, 1, None),
        ([HELD, RELEASED], 1, 0, None),
        ([HELD, CONFIRMED, RETURNED], 0, 2, None),
        ([HELD, HELD, CONFIRMED], 1, 0, None),
    ],
)
def test_a_broken_constraint_is_blamed_on_the_making_or_the_confirm(
    states: list[int], first: int, step: int, expected: Refusal | None
) -> None:
    """A give-back is never refused: nobody is to blame, and the shard freezes."""
    shard = FakeShard()
    for state in states:
        shard.moves(("r-1", state))
    [order] = orders_from(taken(shard.commits[first:])).values()

    assert refusal_for(order, step, PermanentError("broken")) == expected


@pytest.mark.parametrize("bad", [set(), {0}, {999}, {3, 4, 500}])
async def test_sifting_finds_exactly_the_rows_that_break(bad: set[int]) -> None:
    """The others are written, each once, whatever stood beside them."""

    async def attempt(rows: Sequence[int]) -> Sequence[int]:
        if bad & set(rows):
            raise PermanentError("broken")
        return rows

    answers, broken = await bisect(range(1000), attempt)

    assert {row for row, _ in broken} == bad
    assert [row for rows in answers for row in rows] == sorted(set(range(1000)) - bad)
