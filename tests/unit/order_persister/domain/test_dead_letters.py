"""What the ledger keeps of an order that it refused."""

import pytest

from bench.commits import COMPENSATED, CONFIRMED, EXPIRED, HELD, RELEASED, RETURNED, FakeShard
from order_persister.domain.dead_letters import dead_letter_updates_from, dead_letters_from
from order_persister.domain.fold import EARLIER_RUN, Refusal
from order_persister.domain.refusals import BLOCKED, refusal_for_reused_id
from tests.unit.order_persister.domain.runs import all_refused, orders_of

AT_CREATION = Refusal(0, BLOCKED, "blocked", at_creation=True)
EARLIER = Refusal(EARLIER_RUN, BLOCKED, "blocked", at_creation=True)
Quantities = dict[str, int]


def test_the_dead_letter_of_a_spent_id_is_settled_at_once() -> None:
    """It has no units, so none are given back."""
    shard = FakeShard()
    shard.spend("r-1")
    orders = orders_of(shard)

    [letter] = dead_letters_from(orders, all_refused(orders, refusal_for_reused_id()))

    assert (letter.latest.reservation_state, letter.latest.is_open, letter.latest.lines) == ("RELEASED", False, [])
    assert not letter.needs_compensation


@pytest.mark.parametrize("cut", [False, True], ids=["in one run", "in runs of their own"])
@pytest.mark.parametrize(
    ("moves", "lines", "outstanding", "sold"),
    [
        ([], {"lamp": 3}, {"lamp": 3}, {}),
        ([(CONFIRMED, 3, 3, 0)], {"lamp": 3}, {"lamp": 3}, {}),
        ([(CONFIRMED, 3, 2, 0)], {"lamp": 3}, {"lamp": 2}, {}),
        ([(HELD, 4, 0, 0)], {"lamp": 4}, {"lamp": 4}, {}),
        ([(HELD, 4, 0, 0), (EXPIRED, 4, 0, 0)], {"lamp": 4}, {}, {}),
        ([(COMPENSATED, 3, 0, 0)], {"lamp": 3}, {}, {}),
        ([(RELEASED, 3, 0, 0)], {"lamp": 3}, {}, {}),
        ([(CONFIRMED, 3, 2, 0), (CONFIRMED, 3, 2, 1)], {"lamp": 3}, {"lamp": 1}, {}),
        ([(CONFIRMED, 3, 2, 0), (RETURNED, 3, 2, 2)], {"lamp": 3}, {}, {}),
        ([(CONFIRMED, 3, 3, 0), (COMPENSATED, 3, 0, 0)], {"lamp": 3}, {}, {"lamp": 3}),
        ([(CONFIRMED, 3, 2, 1), (COMPENSATED, 3, 0, 0)], {"lamp": 3}, {}, {"lamp": 1}),
    ],
)
def test_a_dead_letter_has_the_units_that_are_out_and_those_that_had_been_sold(
    moves: list[tuple[int, int, int, int]], lines: Quantities, outstanding: Quantities, sold: Quantities, cut: bool
) -> None:
    """The first are what the items count as refused; the second say what a replay has to sell at once."""
    shard = FakeShard()
    shard.moves(("r-1", HELD), lamp=3)
    for state, *counts in moves:
        shard.move("r-1", state, lamp=(counts[0], counts[1], counts[2]))
    orders = orders_of(shard)
    [letter] = dead_letters_from(orders, all_refused(orders, AT_CREATION))
    latest = letter.latest

    if cut and moves:
        orders = orders_of(shard, first=len(moves))
        [latest] = dead_letter_updates_from(orders, all_refused(orders, EARLIER))

    assert latest == letter.latest
    assert (dict(latest.lines), dict(latest.outstanding), dict(latest.sold)) == (lines, outstanding, sold)
    assert latest.is_open == bool(outstanding)


def test_the_lines_of_a_dead_letter_leave_out_what_a_change_dropped() -> None:
    """A replay of it asks for what the buyer wanted at last."""
    shard = FakeShard()
    shard.moves(("r-1", HELD), bulb=1, lamp=2)
    shard.move("r-1", HELD, lamp=(2, 0, 0), shade=(1, 0, 0))
    orders = orders_of(shard)

    [letter] = dead_letters_from(orders, all_refused(orders, AT_CREATION))

    assert letter.latest.lines == [("lamp", 2), ("shade", 1)]
