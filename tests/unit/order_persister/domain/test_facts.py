"""The facts about orders."""

import pytest
from holdfast.inventory.v1.events_pb2 import ReservationFact

from bench.commits import BUYER_BLOCKED, COMPENSATED, CONFIRMED, EXPIRED, HELD, RELEASED, RETURNED, FakeShard
from order_persister.domain.chain import AcceptedCommit
from order_persister.domain.facts import RefusedAt, order_facts, unpublished_of
from order_persister.domain.shards import ShardRow
from tests.unit.order_persister.domain.runs import CREATED, journal

ROW = ShardRow(1, 0, "", 1, 0, 1, 0, frozen_reason="", read_offset=0, read_digest=b"", seen_epoch=0, seen_seq=0)
Moved = dict[str, tuple[int, int, int]]  # by SKU: held, sold, total


def facts_of(shard: FakeShard, refused: RefusedAt | None = None) -> list[ReservationFact]:
    found = order_facts(0, journal(shard), {CREATED: refused} if refused else {})
    return [ReservationFact.FromString(fact.value) for fact in found]


def moved(fact: ReservationFact) -> Moved:
    return {each.sku: (each.held, each.sold, each.total) for each in fact.moved}


def lines(fact: ReservationFact) -> Moved:
    every = fact.reservation.lines
    return {line.sku: (line.quantity, line.confirmed_quantity, line.returned_quantity) for line in every}


def test_facts_are_refused_from_the_refused_change_on() -> None:
    """Earlier changes stay recorded."""
    shard = FakeShard()
    for state in (HELD, CONFIRMED, COMPENSATED):
        shard.moves(("r-1", state))

    facts = facts_of(shard, RefusedAt(1, 2, 0, BUYER_BLOCKED))

    assert [fact.reservation.ledger_state for fact in facts] == [2, 3, 3]
    assert [fact.reservation.compensation_reason for fact in facts] == [0, BUYER_BLOCKED, BUYER_BLOCKED]
    assert [(fact.position.seq, fact.previous_state) for fact in facts] == [(1, 0), (2, HELD), (3, CONFIRMED)]
    assert [fact.reservation.lines[0].confirmed_quantity for fact in facts] == [0, 1, 0]


@pytest.mark.parametrize("end", [RELEASED, EXPIRED])
def test_a_refused_order_that_ends_before_its_compensation_is_recorded_again(end: int) -> None:
    """As reads tell it: the ledger holds that end, and nothing is left to compensate. The reason stays."""
    shard = FakeShard()
    for state in (HELD, end):
        shard.moves(("r-1", state))

    facts = facts_of(shard, RefusedAt(1, 1, 0, BUYER_BLOCKED))

    assert [fact.reservation.ledger_state for fact in facts] == [3, 2]
    assert [fact.reservation.compensation_reason for fact in facts] == [BUYER_BLOCKED, BUYER_BLOCKED]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([HELD, CONFIRMED, RETURNED], [(1, 0), (-1, 1), (0, -1)]),
        ([HELD, RELEASED], [(1, 0), (-1, 0)]),
        ([HELD, EXPIRED], [(1, 0), (-1, 0)]),
        ([CONFIRMED, COMPENSATED], [(0, 1), (0, -1)]),
    ],
)
def test_a_fact_has_the_units_that_its_change_moved(states: list[int], expected: list[tuple[int, int]]) -> None:
    """Summed up they are what is held and sold of each item, whether or not the ledger refused an order."""
    shard = FakeShard()
    for state in states:
        shard.moves(("r-1", state), lamp=1, shade=3)

    facts = facts_of(shard, RefusedAt(1, 2, 0, BUYER_BLOCKED))

    assert [moved(fact) for fact in facts] == [
        {"lamp": (held, sold, 0), "shade": (3 * held, 3 * sold, 0)} for held, sold in expected
    ]


def test_facts_tell_of_parts() -> None:
    """A part is sold, some of it comes back, some is discarded; an item that stays as it was is left out."""
    shard = FakeShard()
    shard.moves(("r-1", HELD), lamp=5, shade=2)
    shard.move("r-1", CONFIRMED, lamp=(5, 3, 0), shade=(2, 2, 0))
    shard.move("r-1", CONFIRMED, lamp=(5, 3, 1), shade=(2, 2, 0))
    shard.move("r-1", RETURNED, discarded=True, lamp=(5, 3, 3), shade=(2, 2, 2))

    facts = facts_of(shard)

    assert [moved(fact) for fact in facts] == [
        {"lamp": (5, 0, 0), "shade": (2, 0, 0)},
        {"lamp": (-5, 3, 0), "shade": (-2, 2, 0)},
        {"lamp": (0, -1, 0)},
        {"lamp": (0, -2, -2), "shade": (0, -2, -2)},
    ]
    assert [lines(fact)["lamp"] for fact in facts] == [(5, 0, 0), (5, 3, 0), (5, 3, 1), (5, 3, 3)]


def test_a_change_of_a_hold_moves_the_difference_and_an_extend_nothing() -> None:
    """Both are changes from HELD to HELD."""
    shard = FakeShard()
    shard.moves(("r-1", HELD), bulb=1, lamp=2)
    shard.commit(shard.changed("r-1", HELD, extended_ms=1_000))
    shard.move("r-1", HELD, lamp=(4, 0, 0), shade=(1, 0, 0))

    _, extended, changed = facts_of(shard)

    assert (extended.previous_state, moved(extended)) == (HELD, {})
    assert extended.reservation.expire_time.ToMilliseconds() == shard.known["r-1"].expire_time_ms
    assert moved(changed) == {"bulb": (-1, 0, 0), "lamp": (2, 0, 0), "shade": (1, 0, 0)}
    assert lines(changed) == {"lamp": (4, 0, 0), "shade": (1, 0, 0)}


def test_a_spent_id_moves_nothing() -> None:
    """It has no lines."""
    shard = FakeShard()
    shard.spend("r-1")

    [fact] = facts_of(shard)

    assert not fact.moved


def test_a_fact_has_the_reference_of_its_reserve() -> None:
    """A consumer knows the order of the shop that a fact is about."""
    shard = FakeShard()
    shard.moves(("r-1", HELD), reference="cart-7")

    [fact] = facts_of(shard)

    assert fact.reservation.reference == "cart-7"


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ((1, 0), []),  # commit 1 was applied earlier, and its facts were not published
        ((1, 1), [2, 3]),
        ((1, 2), [3]),
        ((1, 3), []),
    ],
)
def test_facts_are_made_of_the_commits_just_applied_where_no_earlier_ones_wait(
    mark: tuple[int, int], expected: list[int]
) -> None:
    """The journal has what is missing; a fact that is passed over would never be published."""
    applied, row = applied_and_row(mark)

    assert [commit.seq for commit in unpublished_of(row, applied)] == expected


@pytest.mark.parametrize("other", [{"seq": 2}, {"hash": "of another history"}, {"epoch": 2, "seq": 3}])
def test_facts_are_not_made_of_commits_that_the_ledger_no_longer_ends_with(other: dict[str, object]) -> None:
    """It was set back by a fail-over or a restore, or has gone on; the journal tells."""
    applied, row = applied_and_row((1, 1))

    assert unpublished_of(row._replace(**other), applied) == ()  # type: ignore[arg-type]


def test_the_first_commits_of_an_epoch_follow_its_start() -> None:
    """A take-over sets both marks to the epoch's start."""
    shard = FakeShard(epoch=2)
    shard.moves(("r-1", HELD))
    applied = journal(shard)
    row = ROW._replace(epoch=2, seq=1, hash=applied[-1].hash, facts_epoch=2, facts_seq=0)

    assert unpublished_of(row, applied) == applied


def applied_and_row(mark: tuple[int, int]) -> tuple[list[AcceptedCommit], ShardRow]:
    """The second and the third of three commits, and the row of a ledger that holds all of them."""
    shard = FakeShard()
    for state in (HELD, CONFIRMED, RETURNED):
        shard.moves(("r-1", state))
    commits = journal(shard)
    row = ROW._replace(epoch=1, seq=3, hash=commits[-1].hash, facts_epoch=mark[0], facts_seq=mark[1])
    return commits[1:], row
