"""Orders that the ledger refuses for good: only that order, once, at the step that fails."""

import json

import pytest

from bench.commits import (
    COMPENSATED,
    CONFIRMED,
    HELD,
    RELEASED,
    RETURNED,
)
from tests.integration.one_shard_ledger import OneShardLedger
from tests.ledger_consistency import inconsistencies
from tests.ledgers import block_buyer

POISON = "alter table reservation add constraint poison check (reservation_id <> 'poison')"
POISON_CONFIRM = (
    "alter table reservation add constraint poison check (reservation_id <> 'poison' or state <> 'CONFIRMED')"
)
LINES = [{"sku": "cup", "quantity": 1}, {"sku": "plate", "quantity": 2}]
HELD_ONE, SOLD_ONE = {"available": 1999, "held": 1}, {"available": 1999, "sold": 1}


@pytest.mark.parametrize("cut", [False, True], ids=["in one run", "in runs of their own"])
@pytest.mark.parametrize(
    ("later", "ended"),
    [([], False), ([CONFIRMED], False), ([RELEASED], True), ([CONFIRMED, COMPENSATED], True), ([COMPENSATED], True)],
)
async def test_one_poison_order_among_a_thousand_good_ones(
    one_shard: OneShardLedger, later: list[int], ended: bool, cut: bool
) -> None:
    """Promise 5: exactly the bad order is refused, and its units go back once, at whichever step."""
    await one_shard.db.execute(POISON)
    for first in range(0, 1000, 100):
        one_shard.shard.moves(*((f"r-{number}", HELD) for number in range(first, first + 100)))
        if first == 500:
            one_shard.shard.moves(("poison", HELD), buyer="b-2")
    if cut:
        await one_shard.apply_new()
    for state in later:
        one_shard.shard.moves(("poison", state))
    if later or not cut:
        await one_shard.apply_new()

    assert await one_shard.item() == {"available": 1000, "held": 1000} | (
        {} if ended else {"available": 999, "refused": 1}
    )
    ends: dict[int, str] = {CONFIRMED: "CONFIRMED", RELEASED: "RELEASED", COMPENSATED: "COMPENSATED"}
    end = ends[later[-1]] if later else "HELD"
    assert await one_shard.dead_letters() == [("poison", "CONSTRAINT_VIOLATED", "SETTLED" if ended else "OPEN", end)]
    assert await one_shard.compensations_owed() == (0 if ended else 1)
    assert await one_shard.db.fetchval("select count(*) from reservation where ledger_state = 'RECORDED'") == 1000


async def test_settled_stays_below_an_open_refusal_and_never_falls(one_shard: OneShardLedger) -> None:
    """The state RECORDED depends on it, and so does archiving."""
    await one_shard.db.execute(POISON)
    settled = []
    for moves in ([("r-1", HELD)], [("poison", HELD)], [("r-2", HELD)], [("poison", COMPENSATED)]):
        one_shard.shard.moves(*moves)
        settled.append((await one_shard.apply_new()).row.settled_seq)

    assert settled == [2, 2, 2, 5]


async def test_an_order_refused_at_its_confirm_keeps_its_row_until_it_ends(one_shard: OneShardLedger) -> None:
    """The ledger had the hold; its units are in `refused` until the compensation is applied."""
    await one_shard.db.execute(POISON_CONFIRM)
    one_shard.shard.moves(("poison", HELD), ("r-1", HELD))
    await one_shard.apply_new()
    one_shard.shard.moves(("poison", CONFIRMED), ("r-1", CONFIRMED))
    await one_shard.apply_new()
    refused = await one_shard.item(), await one_shard.reservation("poison"), await one_shard.dead_letters()
    one_shard.shard.moves(("poison", COMPENSATED))
    await one_shard.apply_new()

    assert refused == (
        {"available": 1998, "sold": 1, "refused": 1},
        ("HELD", "REFUSED", "CONSTRAINT_VIOLATED"),
        [("poison", "CONSTRAINT_VIOLATED", "OPEN", "CONFIRMED")],
    )
    assert await one_shard.item() == {"available": 1999, "sold": 1}
    assert await one_shard.reservation("poison") == ("COMPENSATED", "REFUSED", "CONSTRAINT_VIOLATED")
    assert await one_shard.dead_letters() == [("poison", "CONSTRAINT_VIOLATED", "SETTLED", "COMPENSATED")]


@pytest.mark.parametrize("cut", [False, True], ids=["in one run", "in runs of their own"])
@pytest.mark.parametrize(
    ("states", "outstanding", "sold"),
    [([HELD, CONFIRMED], LINES, []), ([HELD, CONFIRMED, COMPENSATED], [], LINES)],
    ids=["confirmed", "sale compensated"],
)
async def test_a_dead_letter_has_the_units_that_are_out_and_those_that_had_been_sold(
    one_shard: OneShardLedger, cut: bool, states: list[int], outstanding: object, sold: object
) -> None:
    """The first are what the items count as refused; the second say what a replay has to sell at once."""
    await one_shard.db.execute(POISON)
    one_shard.shard.open_sale("two-skus", cup=5, plate=5)
    for state in states:
        one_shard.shard.moves(("poison", state), sale_id="two-skus", cup=1, plate=2)
        if cut:
            await one_shard.apply_new()
    if not cut:
        await one_shard.apply_new()

    row = await one_shard.db.fetchrow("select outstanding, sold, lines from dead_letter")
    assert row is not None
    assert [json.loads(text) for text in row] == [outstanding, sold, LINES]
    assert await inconsistencies(one_shard.db) == []


@pytest.mark.parametrize("cut", [False, True], ids=["in one run", "in runs of their own"])
@pytest.mark.parametrize(
    ("forbidden", "states", "row", "dead_letter", "units", "frozen_reason"),
    [
        (
            "state = 'CONFIRMED'",
            [HELD, CONFIRMED],
            ("HELD", "REFUSED", "CONSTRAINT_VIOLATED"),
            ("poison", "CONSTRAINT_VIOLATED", "OPEN", "CONFIRMED"),
            {"available": 1999, "refused": 1},
            "",
        ),
        ("state = 'RELEASED'", [HELD, RELEASED], ("HELD", "RECORDED", None), None, HELD_ONE, "GIVE_BACK_REFUSED"),
        (
            "state = 'RETURNED'",
            [CONFIRMED, RETURNED],
            ("CONFIRMED", "RECORDED", None),
            None,
            SOLD_ONE,
            "GIVE_BACK_REFUSED",
        ),
        ("revision = 2", [HELD, HELD], ("HELD", "RECORDED", None), None, HELD_ONE, "GIVE_BACK_REFUSED"),
    ],
    ids=["confirmed", "released", "returned", "extended"],
)
async def test_only_the_failing_step_is_refused_however_its_commits_are_batched(
    one_shard: OneShardLedger,
    cut: bool,
    forbidden: str,
    states: list[int],
    row: tuple[str, str, str | None],
    dead_letter: tuple[str, ...] | None,
    units: dict[str, int],
    frozen_reason: str,
) -> None:
    """Earlier steps stay applied: an order is not refused when it is made for a later step that fails."""
    await one_shard.db.execute(f"alter table reservation add constraint poison check (not ({forbidden}))")
    await one_shard.apply_new()
    for state in states:
        one_shard.shard.moves(("poison", state))
        if cut:
            outcome = await one_shard.apply_new()
    if not cut:
        outcome = await one_shard.apply_new()

    assert outcome.row.frozen_reason.partition(":")[0] == frozen_reason
    assert await one_shard.reservation("poison") == row
    assert await one_shard.dead_letters() == ([dead_letter] if dead_letter else [])
    assert await one_shard.item() == units


async def test_a_blocked_buyer_is_refused_at_the_making_and_at_the_confirm(one_shard: OneShardLedger) -> None:
    """A hold made before the block is refused when it is confirmed; a release is not."""
    one_shard.shard.moves(("early", HELD), ("other", HELD), buyer="crook")
    await one_shard.apply_new()
    await block_buyer(one_shard.db, "crook")
    one_shard.shard.moves(("late", HELD), ("bought", CONFIRMED), buyer="crook")
    one_shard.shard.moves(("early", CONFIRMED), ("other", RELEASED), ("good", HELD))
    await one_shard.apply_new()

    assert await one_shard.dead_letters() == [
        ("bought", "BUYER_BLOCKED", "OPEN", "CONFIRMED"),
        ("early", "BUYER_BLOCKED", "OPEN", "CONFIRMED"),
        ("late", "BUYER_BLOCKED", "OPEN", "HELD"),
    ]
    assert await one_shard.item() == {"available": 1996, "held": 1, "refused": 3}
    assert await one_shard.reservation("late") is None
    one_shard.shard.moves(("late", COMPENSATED), ("early", COMPENSATED), ("bought", COMPENSATED))
    await one_shard.apply_new()
    assert await one_shard.reservation("late") == ("COMPENSATED", "REFUSED", "BUYER_BLOCKED")
    assert await one_shard.item() == {"available": 1999, "held": 1}
    assert await one_shard.compensations_owed() == 0


@pytest.mark.parametrize("cut", [False, True], ids=["in one run", "in runs of their own"])
async def test_a_reused_id_is_refused_and_the_first_order_is_unchanged(one_shard: OneShardLedger, cut: bool) -> None:
    """Redis has archived the first, the ledger has it; the second one's units go back by its own position."""
    one_shard.shard.moves(("r-1", CONFIRMED))
    one_shard.shard.archive("r-1")
    if cut:
        await one_shard.apply_new()
    one_shard.shard.moves(("r-1", HELD), buyer="b-2", lamp=3)
    await one_shard.apply_new()
    refused = await one_shard.item(), await one_shard.dead_letters()
    one_shard.shard.moves(("r-1", COMPENSATED))
    await one_shard.apply_new()

    assert refused == (
        {"available": 1996, "sold": 1, "refused": 3},
        [("r-1", "ID_REUSED", "OPEN", "HELD")],
    )
    assert await one_shard.reservation("r-1") == ("CONFIRMED", "RECORDED", None)
    assert await one_shard.item() == {"available": 1999, "sold": 1}
    assert await one_shard.dead_letters() == [("r-1", "ID_REUSED", "SETTLED", "COMPENSATED")]


async def test_the_dead_letter_of_a_reused_spent_id_is_settled_at_once(one_shard: OneShardLedger) -> None:
    """It holds nothing, so there is nothing to give back."""
    one_shard.shard.moves(("r-1", CONFIRMED))
    one_shard.shard.archive("r-1")
    await one_shard.apply_new()
    one_shard.shard.spend("r-1")
    await one_shard.apply_new()

    assert await one_shard.dead_letters() == [("r-1", "ID_REUSED", "SETTLED", "RELEASED")]
    assert await one_shard.db.fetchval("select count(*) from compensation") == 0
    assert await one_shard.item() == {"available": 1999, "sold": 1}
