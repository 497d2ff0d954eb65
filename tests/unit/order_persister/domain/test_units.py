"""How many units of a line count as confirmed and as returned, wherever the persister writes them."""

import pytest
from holdfast.inventory.v1.events_pb2 import ReservationFact

from bench.commits import COMPENSATED, CONFIRMED, EXPIRED, HELD, RELEASED, RETURNED, FakeShard
from order_persister.domain.facts import JournalCommit, facts_from
from order_persister.domain.fold import orders_from
from order_persister.domain.rows import final_rows, line_updates_from, lines_from
from tests.unit.order_persister.domain.test_fold import accepted

CASES = [
    ([HELD], 0, 0),
    ([CONFIRMED], 2, 0),
    ([HELD, CONFIRMED], 2, 0),
    ([HELD, RELEASED], 0, 0),
    ([HELD, EXPIRED], 0, 0),
    ([HELD, CONFIRMED, COMPENSATED], 0, 0),
    ([HELD, CONFIRMED, RETURNED], 2, 2),
]


def shard_with(states: list[int]) -> FakeShard:
    shard = FakeShard()
    for state in states:
        shard.moves(("r-1", state), lamp=2)
    return shard


@pytest.mark.parametrize(("states", "confirmed", "returned"), CASES)
def test_a_new_reservations_lines_and_its_last_fact_agree(states: list[int], confirmed: int, returned: int) -> None:
    """A reader of facts and a reader of the ledger see the same quantities."""
    run = accepted(shard_with(states).commits)
    orders = orders_from(run)

    [line] = lines_from(final_rows(orders.values(), {}).new, orders)
    *_, fact = facts_from(0, [JournalCommit(commit.epoch, commit.seq, commit.body) for commit in run], {})
    [published] = ReservationFact.FromString(fact.value).reservation.lines

    assert (line.confirmed_quantity, line.returned_quantity) == (confirmed, returned)
    assert (published.confirmed_quantity, published.returned_quantity) == (confirmed, returned)


@pytest.mark.parametrize(("states", "confirmed", "returned"), CASES[2:])
def test_a_change_brings_lines_to_the_quantities_of_its_state(states: list[int], confirmed: int, returned: int) -> None:
    """A change in a run of its own ends as one in the run of the creation; without an update the lines stay as held."""
    orders = orders_from(accepted(shard_with(states).commits)[-1:])
    before = shard_with(states[:-1])
    [line] = lines_from(final_rows(orders_from(accepted(before.commits)).values(), {}).new, orders)

    updates = line_updates_from(final_rows(orders.values(), {}).changed)

    quantities = line.confirmed_quantity, line.returned_quantity
    for update in updates:
        quantities = 2 * update.is_confirmed, 2 * update.is_returned
    assert quantities == (confirmed, returned)
