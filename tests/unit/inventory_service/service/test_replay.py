"""Replays of dead letters: what they reserve, what is not replayed, and what a rejection leaves."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from inventory_service.domain.reservation import CONFIRMED, EXPIRED, HELD, RELEASED, RETURNED, Line
from inventory_service.domain.results import Failure, Granted, Rejected
from inventory_service.domain.sale import SaleAction
from inventory_service.domain.units import usual_units
from inventory_service.service.replay import Replayed
from tests.contract.requests import SALE, act, adjust, block, release, reserve, spend
from tests.contract.results import reason_of
from tests.unit.inventory_service.service.fake_dead_letters import (
    CREATED,
    LETTER,
    OPEN,
    REPLAYED,
    SETTLED,
    SOLD,
    Shop,
    sold_out,
    summary,
)

TWO_LAMPS = (Line("lamp", 2),)


# ------------------------------------------------------------------------------------------------- what it makes


async def test_what_was_held_is_held_anew_for_the_same_buyer() -> None:
    """With the reference that the buyer's service had given; the letter says as what."""
    shop = await Shop.opened()
    shop.ledger.reference = "cart-7"

    result = await shop.replay()

    assert summary(result) == ("GRANTED", REPLAYED, "r-2")
    assert isinstance(result, Replayed)
    made = await shop.found("r-2")
    assert isinstance(result.outcome, Granted)
    assert result.outcome.reservation == made
    assert made is not None
    assert (made.buyer_id, made.reference, made.lines) == ("b-1", "cart-7", usual_units(TWO_LAMPS, HELD))
    assert shop.letter == LETTER._replace(state=REPLAYED, replayed_as="r-2")


async def test_what_was_sold_is_sold_anew_and_nothing_else() -> None:
    """Of two lamps one had been sold and had not come back."""
    shop = await Shop.opened(SOLD)

    await shop.replay()

    made = await shop.found("r-2")
    assert made is not None
    assert (made.state, made.lines) == (CONFIRMED, usual_units((Line("lamp", 1),), CONFIRMED))


@pytest.mark.parametrize("is_recorded", [False, True])
async def test_a_repeat_hears_the_reservation_as_it_stands(is_recorded: bool) -> None:
    """Also once it has ended: then the id has no units, and the letter stays with it."""
    shop = await Shop.opened()
    await shop.replay()
    if is_recorded:
        shop.ledger.record()

    again = await shop.replay()
    await shop.stock.move(release("r-2"))
    afterwards = await shop.replay()

    assert summary(again) == ("REPLAYED", REPLAYED, "r-2")
    assert summary(afterwards) == ("RESERVATION_ENDED", REPLAYED, "r-2")
    assert isinstance(afterwards, Replayed)
    assert isinstance(afterwards.outcome, Rejected)
    assert afterwards.outcome.replayed
    assert await shop.live() == []


async def test_a_repeat_after_its_reservation_was_archived_makes_no_second_one() -> None:
    """Redis knows it no more, and would grant it again."""
    shop = await Shop.opened(SOLD)
    await shop.replay()
    shop.settle()
    await shop.stock.archive(SALE, retention_ms=0)
    assert await shop.found("r-2") is None

    again = await shop.replay()

    assert summary(again) == ("REPLAYED", REPLAYED, "r-2")
    assert await shop.live() == []


# --------------------------------------------------------------------------------------------- what is not replayed


async def test_a_replayed_letter_is_replayed_under_no_other_id() -> None:
    """The other caller hears which one."""
    shop = await Shop.opened()
    await shop.replay("r-2")

    other = await shop.replay("r-3")

    assert isinstance(other, Failure)
    assert reason_of(other) == "WRONG_DEAD_LETTER_STATE"
    assert other.metadata == {
        "dead_letter_id": "0-1-900-0",
        "state": "DEAD_LETTER_STATE_REPLAYED",
        "reservation_state": "RESERVATION_STATE_COMPENSATED",
        "replayed_as": "r-2",
    }
    assert await shop.live() == ["r-2"]


@pytest.mark.parametrize(
    "letter",
    [
        LETTER._replace(state=OPEN),
        LETTER._replace(lines=()),
        LETTER._replace(reservation_state=RELEASED),
        LETTER._replace(reservation_state=RETURNED),
    ],
    ids=["open", "spent id", "released", "returned"],
)
async def test_a_letter_that_is_not_settled_or_whose_caller_ended_it_is_not_replayed(letter: Any) -> None:
    """There is nothing to reserve anew, or the caller did not want it any more."""
    shop = await Shop.opened(letter)

    result = await shop.replay()

    assert isinstance(result, Failure)
    assert reason_of(result) == "WRONG_DEAD_LETTER_STATE"
    assert "replayed_as" not in result.metadata
    assert (shop.letter, shop.steps.taken) == (letter, ["find"])


async def test_an_order_that_ran_out_is_replayed() -> None:
    """Its hold expired; its caller did not end it."""
    shop = await Shop.opened(LETTER._replace(reservation_state=EXPIRED))

    assert summary(await shop.replay()) == ("GRANTED", REPLAYED, "r-2")


async def test_a_letter_of_another_tenant_is_not_found() -> None:
    """Ids of dead letters can be guessed."""
    shop = await Shop.opened()

    result = await shop.replay(tenant="other")

    assert isinstance(result, Failure)
    assert (reason_of(result), result.metadata) == ("DEAD_LETTER_NOT_FOUND", {"dead_letter_id": "0-1-900-0"})


async def test_nothing_is_replayed_into_a_sale_that_has_left() -> None:
    """Whether the ledger knows that it has left, or only Redis does: the letter is settled as before."""
    known, unknown = await Shop.opened(), await Shop.opened()
    known.ledger.sale_has_left = True
    del unknown.stock.state().sales[SALE]

    results = [await known.replay(), await unknown.replay()]

    for result, shop in zip(results, (known, unknown), strict=True):
        assert isinstance(result, Failure)
        assert (reason_of(result), result.metadata) == ("WRONG_SALE_STATE", {"state": "SALE_STATE_ARCHIVED"})
        assert shop.letter == LETTER


async def test_a_hold_is_not_replayed_into_a_sale_whose_holds_were_released() -> None:
    """It would be released at once; units that had been sold are sold."""
    held, sold = await Shop.opened(), await Shop.opened(SOLD)
    for shop in (held, sold):
        await shop.stock.change_sale(act(SaleAction.CLOSE_AND_RELEASE))

    assert summary(await held.replay())[0] == "WRONG_SALE_STATE"
    assert held.letter == LETTER
    assert summary(await sold.replay()) == ("GRANTED", REPLAYED, "r-2")


# ------------------------------------------------------------------------------------------------------- ids


@pytest.mark.parametrize("is_recorded", [False, True])
async def test_an_id_that_another_reservation_has_is_not_used(is_recorded: bool) -> None:
    """That stays as it is, and so does the letter; whether the ledger or only Redis knows of it."""
    shop = await Shop.opened()
    await shop.stock.reserve(reserve("r-2", buyer="b-9"))
    if is_recorded:
        shop.ledger.record()

    result = await shop.replay()

    assert summary(result)[0] == "RESERVATION_ID_REUSED"
    assert (shop.letter, await shop.live()) == (LETTER, ["r-2"])
    assert ("begin" in shop.steps.taken, "replay" in shop.steps.taken) == (True, not is_recorded)


async def test_ids_of_dead_letters_are_not_used() -> None:
    """Neither the refused order's own, nor another's, nor one under which another letter is replayed."""
    shop = await Shop.opened()
    other = LETTER._replace(created=CREATED._replace(seq=901), reservation_id="other")
    shop.ledger.letters[other.created] = other._replace(state=REPLAYED, replayed_as="r-2")

    results = [await shop.replay(name) for name in ("refused", "other", "r-2")]

    assert [summary(result)[0] for result in results] == ["RESERVATION_ID_REUSED"] * 3
    assert shop.letter == LETTER


@pytest.mark.parametrize("is_recorded", [False, True])
async def test_a_spent_id_is_not_used(is_recorded: bool) -> None:
    """Whether the ledger knows of it or only Redis: the answer is the same."""
    shop = await Shop.opened()
    await shop.stock.move(spend("r-2"))
    if is_recorded:
        shop.ledger.record()

    result = await shop.replay()

    assert summary(result) == ("RESERVATION_ENDED", SETTLED, "")
    assert isinstance(result, Replayed)
    assert isinstance(result.outcome, Rejected)
    assert (result.outcome.replayed, result.outcome.ended and result.outcome.ended.state) == (False, RELEASED)
    assert shop.letter == LETTER


# ------------------------------------------------------------------------------------------------- rejections


async def blocked(shop: Shop) -> None:
    await shop.stock.change(0, block("b-1", version=1))


async def at_the_limit(shop: Shop) -> None:
    await shop.stock.reserve(reserve("other", lamp=2))


@pytest.mark.parametrize(
    ("happens", "reason"),
    [(sold_out, "SOLD_OUT"), (blocked, "BUYER_BLOCKED"), (at_the_limit, "BUYER_LIMIT")],
)
async def test_after_a_rejection_the_letter_is_settled_and_the_id_spent(
    happens: Callable[[Shop], Awaitable[None]], reason: str
) -> None:
    """A repeat hears that the id has ended, and the letter may be replayed under another one once there are units."""
    shop = await Shop.opened(buyer_limit=20 if happens is sold_out else 3)
    await happens(shop)

    first = await shop.replay("r-2")
    again = await shop.replay("r-2")
    shop.ledger.record()
    later = await shop.replay("r-2")

    assert summary(first) == (reason, SETTLED, "")
    assert isinstance(first, Replayed)
    assert isinstance(first.outcome, Rejected)
    assert first.outcome.retry_after_ms is None
    assert [summary(again), summary(later)] == [("RESERVATION_ENDED", SETTLED, "")] * 2
    spent = await shop.found("r-2")
    assert spent is not None
    assert (spent.state, spent.buyer_id, spent.note) == (RELEASED, "", "not replayed: dead letter 0-1-900-0")
    await shop.stock.change(0, block("b-1", version=2)._replace(is_blocked=False))
    await shop.stock.move(release("other"))
    assert summary(await shop.replay("r-3")) == ("GRANTED", REPLAYED, "r-3")


async def test_adjusted_stock_lets_a_rejected_letter_be_replayed() -> None:
    """Under a new id; the same shop has more lamps by then."""
    shop = await Shop.opened(items={"lamp": 1})
    assert summary(await shop.replay("r-2")) == ("INSUFFICIENT_STOCK", SETTLED, "")

    await shop.stock.change_sale(adjust(delta=1))

    assert summary(await shop.replay("r-3")) == ("GRANTED", REPLAYED, "r-3")
