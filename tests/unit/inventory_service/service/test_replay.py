"""Replays of dead letters: what each answer of each step leads to, and that a letter has one reservation at most."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.reservation import CONFIRMED, EXPIRED, HELD, RELEASED, RETURNED, Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Failure, Granted, Rejected
from inventory_service.domain.sale import SaleAction
from inventory_service.domain.shards import LedgerOutcomeUnknown, LedgerUnavailable
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
    Step,
)

TWO_LAMPS = (Line("lamp", 2),)


def told(result: Replayed | Failure) -> tuple[str, int | None, str]:
    """A result: its reason, and state and new id of the letter."""
    if isinstance(result, Failure):
        return reason_of(result), None, ""
    return reason_of(result.outcome), result.letter.state, result.letter.replayed_as


# ------------------------------------------------------------------------------------------------- what it makes


async def test_what_was_held_is_held_anew_for_the_same_buyer() -> None:
    """With the reference that the buyer's service had given; the letter says as what."""
    shop = await Shop.opened()
    shop.ledger.reference = "cart-7"

    result = await shop.replay()

    assert told(result) == ("GRANTED", REPLAYED, "r-2")
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

    assert told(again) == ("REPLAYED", REPLAYED, "r-2")
    assert told(afterwards) == ("RESERVATION_ENDED", REPLAYED, "r-2")
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

    assert told(again) == ("REPLAYED", REPLAYED, "r-2")
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

    assert told(await shop.replay()) == ("GRANTED", REPLAYED, "r-2")


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

    assert told(await held.replay())[0] == "WRONG_SALE_STATE"
    assert held.letter == LETTER
    assert told(await sold.replay()) == ("GRANTED", REPLAYED, "r-2")


# ------------------------------------------------------------------------------------------------------- ids


@pytest.mark.parametrize("is_recorded", [False, True])
async def test_an_id_that_another_reservation_has_is_not_used(is_recorded: bool) -> None:
    """That stays as it is, and so does the letter; whether the ledger or only Redis knows of it."""
    shop = await Shop.opened()
    await shop.stock.reserve(reserve("r-2", buyer="b-9"))
    if is_recorded:
        shop.ledger.record()

    result = await shop.replay()

    assert told(result)[0] == "RESERVATION_ID_REUSED"
    assert (shop.letter, await shop.live()) == (LETTER, ["r-2"])
    assert ("begin" in shop.steps.taken, "replay" in shop.steps.taken) == (True, not is_recorded)


async def test_ids_of_dead_letters_are_not_used() -> None:
    """Neither the refused order's own, nor another's, nor one under which another letter is replayed."""
    shop = await Shop.opened()
    other = LETTER._replace(created=CREATED._replace(seq=901), reservation_id="other")
    shop.ledger.letters[other.created] = other._replace(state=REPLAYED, replayed_as="r-2")

    results = [await shop.replay(name) for name in ("refused", "other", "r-2")]

    assert [told(result)[0] for result in results] == ["RESERVATION_ID_REUSED"] * 3
    assert shop.letter == LETTER


@pytest.mark.parametrize("is_recorded", [False, True])
async def test_a_spent_id_is_not_used(is_recorded: bool) -> None:
    """Whether the ledger knows of it or only Redis: the answer is the same."""
    shop = await Shop.opened()
    await shop.stock.move(spend("r-2"))
    if is_recorded:
        shop.ledger.record()

    result = await shop.replay()

    assert told(result) == ("RESERVATION_ENDED", SETTLED, "")
    assert isinstance(result, Replayed)
    assert isinstance(result.outcome, Rejected)
    assert (result.outcome.replayed, result.outcome.ended and result.outcome.ended.state) == (False, RELEASED)
    assert shop.letter == LETTER


# ------------------------------------------------------------------------------------------------- rejections


async def sold_out(shop: Shop) -> None:
    await shop.stock.reserve(reserve("other", buyer="b-9", lamp=10))


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

    assert told(first) == (reason, SETTLED, "")
    assert isinstance(first, Replayed)
    assert isinstance(first.outcome, Rejected)
    assert first.outcome.retry_after_ms is None
    assert [told(again), told(later)] == [("RESERVATION_ENDED", SETTLED, "")] * 2
    spent = await shop.found("r-2")
    assert spent is not None
    assert (spent.state, spent.buyer_id, spent.note) == (RELEASED, "", "not replayed: dead letter 0-1-900-0")
    await shop.stock.change(0, block("b-1", version=2)._replace(is_blocked=False))
    await shop.stock.move(release("other"))
    assert told(await shop.replay("r-3")) == ("GRANTED", REPLAYED, "r-3")


async def test_a_call_that_reaches_redis_late_is_not_granted() -> None:
    """It was sent before another call under its id was rejected; by now the letter is replayed under another id."""
    shop = await Shop.opened()
    await sold_out(shop)
    may_go, is_sent = asyncio.Event(), asyncio.Event()

    async def hold_back(name: str, step: Step) -> Any:
        if name == "replay" and not is_sent.is_set():
            is_sent.set()
            await may_go.wait()
        return await step()

    shop.steps.around = hold_back
    late = asyncio.create_task(shop.replay("r-2"))
    await is_sent.wait()

    await shop.replay("r-2")
    await shop.stock.move(release("other"))
    other = await shop.replay("r-3")
    may_go.set()

    assert told(other) == ("GRANTED", REPLAYED, "r-3")
    assert told(await late) == ("RESERVATION_ENDED", REPLAYED, "r-3")
    assert await shop.live() == ["r-3"]


@pytest.mark.parametrize(
    ("ends", "heard"), [(False, "REPLAYED"), (True, "RESERVATION_ENDED")], ids=["stand", "were released"]
)
async def test_units_that_a_repeat_got_meanwhile_are_left_alone(ends: bool, heard: str) -> None:
    """Between a rejection and its spend another call with the same id was granted: both hear of that reservation."""
    shop = await Shop.opened()
    await sold_out(shop)

    async def grant_before_the_spend(name: str, step: Step) -> Any:
        if name == "move":
            shop.steps.around = lambda name, step: step()
            await shop.stock.move(release("other"))
            assert told(await shop.replay()) == ("GRANTED", REPLAYED, "r-2")
            if ends:
                await shop.stock.move(release("r-2"))
        return await step()

    shop.steps.around = grant_before_the_spend

    assert told(await shop.replay()) == (heard, REPLAYED, "r-2")
    assert await shop.live() == ([] if ends else ["r-2"])


# ------------------------------------------------------------------------------------------ crashes and failures

LEDGER_STEPS, REDIS_STEPS = ("find", "begin", "known", "undo"), ("replay", "move")
AWAY = {"find": "LEDGER_UNREACHABLE", "known": "LEDGER_UNREACHABLE", "begin": "OUTCOME_UNKNOWN"}


@pytest.mark.parametrize("is_done", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("step", [*LEDGER_STEPS, *REDIS_STEPS])
@pytest.mark.parametrize("happens", [None, sold_out], ids=["granted", "rejected"])
async def test_the_same_id_finishes_what_an_unknown_outcome_left(
    happens: Callable[[Shop], Awaitable[None]] | None, step: str, is_done: bool
) -> None:
    """Each step may be lost, or be done and its answer lost."""
    shop = await Shop.opened()
    if happens is not None:
        await happens(shop)

    async def lose_once(name: str, call: Step) -> Any:
        if name != step:
            return await call()
        shop.steps.around = lambda name, call: call()
        if is_done:
            await call()
        if step in REDIS_STEPS:
            return Failure(reasons.ERROR_REASON_OUTCOME_UNKNOWN)
        raise LedgerOutcomeUnknown("lost") if step in ("begin", "undo") else LedgerUnavailable("away")

    shop.steps.around = lose_once
    first = await shop.replay("r-2")
    was_lost = step in shop.steps.taken
    last = await shop.replay("r-2")

    if was_lost:
        assert isinstance(first, Failure)
        assert reason_of(first) in ("OUTCOME_UNKNOWN", "LEDGER_UNREACHABLE")
    if happens is None:
        assert told(last)[1:] == (REPLAYED, "r-2")
        assert told(await shop.replay("r-3"))[0] == "WRONG_DEAD_LETTER_STATE"
        assert await shop.live() == ["r-2"]
    else:
        assert told(last) in [("SOLD_OUT", SETTLED, ""), ("RESERVATION_ENDED", SETTLED, "")]
        assert shop.letter == LETTER
        assert await shop.live() == ["other"]


@pytest.mark.parametrize(
    "reason",
    [
        reasons.ERROR_REASON_LEDGER_BEHIND,
        reasons.ERROR_REASON_STORE_UNREACHABLE,
        reasons.ERROR_REASON_SHARD_NOT_SERVING,
        reasons.ERROR_REASON_OVERLOADED,
    ],
)
@pytest.mark.parametrize("step", REDIS_STEPS)
async def test_what_redis_cannot_do_now_leaves_the_letter_to_the_same_id(step: str, reason: int) -> None:
    """Another id hears which one that is."""
    shop = await Shop.opened()
    await sold_out(shop)

    async def fail(name: str, call: Step) -> Any:
        return Failure(reason) if name == step else await call()

    shop.steps.around = fail
    first, other = await shop.replay("r-2"), await shop.replay("r-3")
    shop.steps.around = lambda name, call: call()

    assert first == Failure(reason)
    assert isinstance(other, Failure)
    assert (reason_of(other), other.metadata["replayed_as"]) == ("WRONG_DEAD_LETTER_STATE", "r-2")
    assert shop.letter == LETTER._replace(state=REPLAYED, replayed_as="r-2")
    assert told(await shop.replay("r-2"))[1:] == (SETTLED, "")


async def test_one_reservation_at_most_lives_whatever_is_interleaved_or_lost() -> None:
    """Promise of the call: many callers, with equal and other ids, any of which is cut or delayed at any step."""
    outcomes = set()
    for seed in range(400):
        shop = await Shop.opened(items={"lamp": 3})
        random = Random(seed)
        ids = [random.choice(["r-2", "r-3", "r-4"]) for _ in range(6)]
        callers = [asyncio.create_task(shop.replay(name)) for name in ids]
        shop.steps.around = interleaving(shop, random, callers)

        await asyncio.gather(*callers, return_exceptions=True)

        live = [name for name in await shop.live() if name.startswith("r-")]
        assert len(live) <= 1, f"seed {seed}"
        shop.steps.around = lambda name, step: step()
        last = [await shop.replay(name) for name in sorted({*ids, "r-5"})]
        live = [name for name in await shop.live() if name.startswith("r-")]
        assert live == ([shop.letter.replayed_as] if shop.letter.replayed_as else []), f"seed {seed}"
        outcomes |= {told(result)[0] for result in last}
        sale = shop.stock.state().sales[SALE]
        assert sum(sale.items["lamp"].values()) == 3
    assert outcomes >= {"REPLAYED", "RESERVATION_ENDED", "WRONG_DEAD_LETTER_STATE", "GRANTED", "INSUFFICIENT_STOCK"}


def interleaving(shop: Shop, random: Random, callers: list["asyncio.Task[Any]"]) -> Any:
    """Lets others run before and after each step, loses some, cuts callers, and sells and gives back other lamps."""

    async def around(name: str, step: Step) -> Any:
        for _ in range(random.randrange(4)):
            await asyncio.sleep(0)
        if random.random() < 0.1:
            random.choice(callers).cancel()
        if random.random() < 0.3:
            await sell_or_give_back(shop, random)
        if random.random() < 0.3:
            shop.ledger.record()
        result = await step()
        for _ in range(random.randrange(4)):
            await asyncio.sleep(0)
        if random.random() < 0.1:
            if name in REDIS_STEPS:
                return Failure(reasons.ERROR_REASON_OUTCOME_UNKNOWN)
            raise LedgerOutcomeUnknown("lost")
        return result

    return around


async def sell_or_give_back(shop: Shop, random: Random) -> None:
    name = f"other-{random.randrange(10**6)}"
    await super(type(shop.stock), shop.stock).reserve(Reserve(SALE, name, "b-9", TWO_LAMPS, None))
    others = [each for each in await shop.live() if each.startswith("other")]
    if others and random.random() < 0.5:
        await super(type(shop.stock), shop.stock).move(release(random.choice(others)))


async def test_adjusted_stock_lets_a_rejected_letter_be_replayed() -> None:
    """Under a new id; the same shop has more lamps by then."""
    shop = await Shop.opened(items={"lamp": 1})
    assert told(await shop.replay("r-2")) == ("INSUFFICIENT_STOCK", SETTLED, "")

    await shop.stock.change_sale(adjust(delta=1))

    assert told(await shop.replay("r-3")) == ("GRANTED", REPLAYED, "r-3")
