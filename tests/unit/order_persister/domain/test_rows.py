"""The rows that the ledger stores of orders and of their lines."""

import pytest

from bench.commits import COMPENSATED, CONFIRMED, EXPIRED, HELD, HOLD_MS, RELEASED, RETURNED, FakeShard
from order_persister.domain.changes import Created
from order_persister.domain.fold import Refusal
from order_persister.domain.refusals import BLOCKED
from order_persister.domain.rows import ReservationRow, final_rows
from tests.unit.order_persister.domain.runs import all_refused, orders_of

AT_CREATION = Refusal(0, BLOCKED, "blocked", at_creation=True)
AT_CONFIRM = Refusal(1, BLOCKED, "blocked", at_creation=False)
Lines = dict[str, tuple[int, int, int, int]]  # by SKU: claimed, sold, come back, asked for


def lines_of(row: ReservationRow) -> Lines:
    return {line.sku: line[4:] for line in row.lines}


def test_the_final_row_has_the_positions_of_the_creation_and_of_the_latest_change() -> None:
    """An order that a run creates and confirms is one row, inserted as confirmed."""
    shard = FakeShard()
    shard.moves(("r-0", HELD))
    shard.moves(("r-1", HELD), ("r-2", HELD), bulb=1, lamp=2)
    shard.moves(("r-2", CONFIRMED))

    rows = final_rows(orders_of(shard, first=1), {})

    assert [(row.reservation_id, row.state, row.revision) for row in rows.new] == [
        ("r-1", "HELD", 1),
        ("r-2", "CONFIRMED", 2),
    ]
    confirmed = rows.new[1]
    assert (confirmed.created, (confirmed.epoch, confirmed.seq, confirmed.index)) == (Created(1, 2, 1), (1, 3, 0))
    assert lines_of(confirmed) == {"bulb": (1, 1, 0, 1), "lamp": (2, 2, 0, 2)}


@pytest.mark.parametrize("cut", [False, True], ids=["in one run", "in runs of their own"])
@pytest.mark.parametrize(
    ("states", "counts"),
    [
        ([HELD], (2, 0, 0)),
        ([CONFIRMED], (2, 2, 0)),
        ([HELD, CONFIRMED], (2, 2, 0)),
        ([HELD, RELEASED], (2, 0, 0)),
        ([HELD, EXPIRED], (2, 0, 0)),
        ([HELD, CONFIRMED, COMPENSATED], (2, 0, 0)),
        ([HELD, CONFIRMED, RETURNED], (2, 2, 2)),
    ],
)
def test_lines_stand_as_the_state_implies(states: list[int], counts: tuple[int, int, int], cut: bool) -> None:
    """However the history is cut into runs."""
    shard, stored = FakeShard(), Lines()
    for state in states:
        shard.moves(("r-1", state), lamp=2)
    for number in range(len(states)) if cut else [0]:
        orders = orders_of(shard, number)[-1:]
        orders[0].steps = orders[0].steps[:1] if cut else orders[0].steps
        rows = final_rows(orders, {})
        for row in (*rows.new, *rows.changed):
            stored |= lines_of(row)

    assert stored == {"lamp": (*counts, 2)}


def test_a_hold_that_ends_leaves_its_lines_alone() -> None:
    """They stand as before, so most orders are written once."""
    shard = FakeShard()
    shard.moves(("r-1", HELD))
    shard.moves(("r-1", RELEASED))

    [row] = final_rows(orders_of(shard, first=1), {}).changed

    assert row.lines == []


def test_lines_follow_a_change_and_keep_what_was_asked() -> None:
    """A SKU that was dropped stays with no units, and one that was added was not asked for: a repeat is told by it."""
    shard = FakeShard()
    shard.moves(("r-1", HELD), bulb=1, lamp=2)
    shard.move("r-1", HELD, lamp=(3, 0, 0), shade=(4, 0, 0))
    asked = {"bulb": (0, 0, 0, 1), "lamp": (3, 0, 0, 2), "shade": (4, 0, 0, 0)}
    assert lines_of(final_rows(orders_of(shard), {}).new[0]) == asked
    assert lines_of(final_rows(orders_of(shard, first=1), {}).changed[0]) == asked

    shard.move("r-1", HELD, bulb=(5, 0, 0))
    shard.move("r-1", CONFIRMED, bulb=(5, 4, 0))

    expected = {"bulb": (5, 4, 0, 1), "lamp": (0, 0, 0, 2), "shade": (0, 0, 0, 0)}
    assert lines_of(final_rows(orders_of(shard, first=2), {}).changed[0]) == expected


def test_an_extended_hold_has_its_new_end() -> None:
    """Nothing else changes but revision, position and update time."""
    shard = FakeShard()
    shard.moves(("r-1", HELD))
    shard.commit(shard.changed("r-1", HELD, extended_ms=5_000))

    [row] = final_rows(orders_of(shard, first=1), {}).changed

    assert (row.state, row.revision, row.expire_time_ms) == ("HELD", 2, row.create_time_ms + HOLD_MS + 5_000)
    assert row.lines == []


def test_an_order_refused_at_its_creation_has_no_row_until_it_ends() -> None:
    """While its dead letter is open the order has no row; afterwards the row has its last state."""
    shard = FakeShard()
    shard.moves(("r-1", HELD))
    orders = orders_of(shard)
    assert final_rows(orders, all_refused(orders, AT_CREATION)) == final_rows([], {})

    shard.moves(("r-1", COMPENSATED))
    orders = orders_of(shard)
    rows = final_rows(orders, all_refused(orders, AT_CREATION))

    assert rows.new == []
    [row] = rows.refused_ended
    assert (row.state, row.ledger_state, row.compensation_reason) == ("COMPENSATED", "REFUSED", "BUYER_BLOCKED")


def test_an_order_refused_at_its_confirm_stands_as_before_until_it_ends() -> None:
    """Also where only a part was sold, and some of that has come back."""
    shard = FakeShard()
    shard.moves(("r-1", HELD), lamp=3)
    shard.move("r-1", CONFIRMED, lamp=(3, 2, 0))
    shard.move("r-1", CONFIRMED, lamp=(3, 2, 1))
    orders = orders_of(shard)

    [row] = final_rows(orders, all_refused(orders, AT_CONFIRM)).new

    assert (row.state, row.ledger_state, row.revision, lines_of(row)) == ("HELD", "REFUSED", 1, {"lamp": (3, 0, 0, 3)})


def test_a_note_with_a_nul_refuses_no_order() -> None:
    """Postgres rejects NUL in a text, and a caller's text must never freeze a shard."""
    shard = FakeShard()
    shard.moves(("r-1", HELD))
    orders = orders_of(shard)
    step = orders[0].steps[0]
    orders[0].steps[0] = step._replace(change=step.change._replace(note="a\0b"))

    assert final_rows(orders, {}).new[0].note == "a\N{REPLACEMENT CHARACTER}b"
