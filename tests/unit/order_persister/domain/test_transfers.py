"""What moves between the accounts of an item when an order is made, changed, refused and ended."""

import pytest

from bench.commits import COMPENSATED, CONFIRMED, EXPIRED, HELD, RELEASED, RETURNED, SALE, TENANT, FakeShard
from order_persister.domain.fold import EARLIER_RUN, Refusal
from order_persister.domain.refusals import BLOCKED
from order_persister.domain.transfers import deltas_from, entries_from_orders
from tests.unit.order_persister.domain.runs import all_refused, orders_of

AT_CREATION = Refusal(0, BLOCKED, "blocked", at_creation=True)
AT_CONFIRM = Refusal(1, BLOCKED, "blocked", at_creation=False)
EARLIER = Refusal(EARLIER_RUN, BLOCKED, "blocked", at_creation=False)


def transfers(shard: FakeShard, refusal: Refusal | None = None, first: int = 0) -> list[str]:
    orders = orders_of(shard, first)
    entries = list(entries_from_orders(orders, all_refused(orders, refusal)))
    return [f"{entry.seq}.{entry.line} {entry.from_account}>{entry.to_account} {entry.quantity}" for entry in entries]


MOVES = [
    ([HELD], ["available>held"]),
    ([CONFIRMED], ["available>sold"]),
    ([RELEASED], []),
    ([HELD, HELD], ["available>held"]),
    ([HELD, CONFIRMED], ["available>held", "held>sold"]),
    ([HELD, RELEASED], ["available>held", "held>available"]),
    ([HELD, EXPIRED], ["available>held", "held>available"]),
    ([HELD, CONFIRMED, RETURNED], ["available>held", "held>sold", "sold>available"]),
    ([HELD, CONFIRMED, COMPENSATED], ["available>held", "held>sold", "sold>available"]),
]
REFUSED_AT_CREATION = [
    ([HELD], ["available>refused"]),
    ([CONFIRMED], ["available>refused"]),
    ([HELD, CONFIRMED], ["available>refused"]),
    ([HELD, CONFIRMED, COMPENSATED], ["available>refused", "refused>available"]),
    ([HELD, RELEASED], ["available>refused", "refused>available"]),
    ([HELD, EXPIRED], ["available>refused", "refused>available"]),
    ([RELEASED], []),
]
REFUSED_AT_CONFIRM = [
    ([HELD, CONFIRMED], ["available>held", "held>refused"]),
    ([HELD, CONFIRMED, COMPENSATED], ["available>held", "held>refused", "refused>available"]),
    ([HELD, CONFIRMED, RETURNED], ["available>held", "held>refused", "refused>available"]),
]


@pytest.mark.parametrize(
    ("refusal", "states", "expected"),
    [
        *((None, *case) for case in MOVES),
        *((AT_CREATION, *case) for case in REFUSED_AT_CREATION),
        *((AT_CONFIRM, *case) for case in REFUSED_AT_CONFIRM),
    ],
)
def test_an_order_moves_its_units_between_accounts(
    refusal: Refusal | None, states: list[int], expected: list[str]
) -> None:
    """Each step is one transfer a line; the units of a refused order move only back to available."""
    shard = FakeShard()
    for state in states:
        shard.moves(("r-1", state), lamp=2)

    assert [move.split()[1:] for move in transfers(shard, refusal)] == [[move, "2"] for move in expected]


def sold_in_part() -> FakeShard:
    """An order of 5 lamps and 2 shades that was held and sold in part: 3 lamps and 2 shades."""
    shard = FakeShard()
    shard.moves(("r-1", HELD), lamp=5, shade=2)
    shard.move("r-1", CONFIRMED, lamp=(5, 3, 0), shade=(2, 2, 0))
    return shard


def test_a_partial_confirm_sells_a_part_and_gives_the_rest_back() -> None:
    """Item by item: what is sold comes from the hold, before the rest goes back."""
    assert transfers(sold_in_part())[2:] == ["2.0 held>sold 3", "2.1 held>available 2", "2.2 held>sold 2"]


def test_the_confirm_at_which_an_order_is_refused_gives_the_rest_back_all_the_same() -> None:
    """Redis has done so: only what it sold is refused."""
    expected = ["2.0 held>refused 3", "2.1 held>available 2", "2.2 held>refused 2"]
    assert transfers(sold_in_part(), AT_CONFIRM)[2:] == expected


def test_of_an_order_refused_at_its_creation_a_partial_confirm_moves_the_rest_alone() -> None:
    """What is sold is refused before and after."""
    assert transfers(sold_in_part(), AT_CREATION)[2:] == ["2.0 refused>available 2"]


@pytest.mark.parametrize(
    ("refusal", "owned"),
    [
        (None, "sold"),
        (AT_CREATION, "refused"),
        (AT_CONFIRM, "refused"),
        (Refusal(EARLIER_RUN, BLOCKED, "", False), "refused"),
    ],
)
def test_a_return_moves_what_comes_back_with_it(refusal: Refusal | None, owned: str) -> None:
    """It says what has come back in all; units that are discarded leave the sale."""
    shard = sold_in_part()
    shard.move("r-1", CONFIRMED, lamp=(5, 3, 1), shade=(2, 2, 0))
    shard.move("r-1", CONFIRMED, discarded=True, lamp=(5, 3, 2), shade=(2, 2, 2))
    shard.move("r-1", RETURNED, lamp=(5, 3, 3), shade=(2, 2, 2))
    first = 2 if refusal and refusal.step == EARLIER_RUN else 0

    found = transfers(shard, refusal, first)

    assert found[-4:] == [
        f"3.0 {owned}>available 1",
        f"4.0 {owned}>external 1",
        f"4.1 {owned}>external 2",
        f"5.0 {owned}>available 1",
    ]


def test_a_whole_return_can_be_discarded() -> None:
    """Its units are the usual ones, and they leave the sale."""
    shard = FakeShard()
    shard.moves(("r-1", CONFIRMED), lamp=2)
    shard.commit(shard.changed("r-1", RETURNED, discarded=True))

    assert transfers(shard) == ["1.0 available>sold 2", "2.0 sold>external 2"]


def test_a_compensation_gives_back_what_has_not_come_back() -> None:
    """Of 3 lamps sold one was returned before."""
    shard = sold_in_part()
    shard.move("r-1", CONFIRMED, lamp=(5, 3, 1), shade=(2, 2, 0))
    shard.move("r-1", COMPENSATED, lamp=(5, 0, 0), shade=(2, 0, 0))

    assert transfers(shard, AT_CONFIRM)[-2:] == ["4.0 refused>available 2", "4.1 refused>available 2"]


@pytest.mark.parametrize(("refusal", "held"), [(None, "held"), (AT_CREATION, "refused")])
def test_a_change_of_a_hold_moves_the_difference(refusal: Refusal | None, held: str) -> None:
    """One SKU rises, one falls, one is dropped, one is added; the release gives back what is held at last."""
    shard = FakeShard()
    shard.moves(("r-1", HELD), bulb=1, lamp=2, shade=3)
    shard.move("r-1", HELD, lamp=(4, 0, 0), shade=(1, 0, 0), wire=(5, 0, 0))
    shard.move("r-1", RELEASED, lamp=(4, 0, 0), shade=(1, 0, 0), wire=(5, 0, 0))

    assert transfers(shard, refusal)[3:] == [
        f"2.0 {held}>available 1",
        f"2.1 available>{held} 2",
        f"2.2 {held}>available 2",
        f"2.3 available>{held} 5",
        *(f"3.{line} {held}>available {units}" for line, units in enumerate((4, 1, 5))),
    ]


def test_deltas_sum_the_transfers_of_an_item() -> None:
    """One statement updates the balances of a run, however often units moved in it."""
    shard = FakeShard()
    shard.moves(("r-1", HELD), ("r-2", HELD), lamp=2)
    shard.moves(("r-1", CONFIRMED), ("r-2", EXPIRED))

    deltas = deltas_from(entries_from_orders(orders_of(shard), {}))

    assert deltas == {(TENANT, SALE, "lamp"): {"available": -2, "held": 0, "sold": 2}}
