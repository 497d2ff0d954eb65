"""Replays of dead letters that are cut, delayed or run at once: a letter has one reservation at most."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Failure
from inventory_service.domain.shards import LedgerOutcomeUnknown, LedgerUnavailable
from tests.contract.requests import SALE, release
from tests.contract.results import reason_of
from tests.unit.inventory_service.service.fake_dead_letters import (
    CREATED,
    LETTER,
    REPLAYED,
    SETTLED,
    Shop,
    Step,
    sold_out,
    summary,
)


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

    assert summary(other) == ("GRANTED", REPLAYED, "r-3")
    assert summary(await late) == ("RESERVATION_ENDED", REPLAYED, "r-3")
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
            assert summary(await shop.replay()) == ("GRANTED", REPLAYED, "r-2")
            if ends:
                await shop.stock.move(release("r-2"))
        return await step()

    shop.steps.around = grant_before_the_spend

    assert summary(await shop.replay()) == (heard, REPLAYED, "r-2")
    assert await shop.live() == ([] if ends else ["r-2"])


async def test_an_id_is_free_while_another_replay_of_the_letter_is_rejected() -> None:
    """The letter is replayed under that one's id when this call would begin, and settled again afterwards."""
    shop = await Shop.opened()

    async def replayed_for_a_moment(name: str, step: Step) -> Any:
        if name != "begin" or shop.steps.taken.count("begin") > 1:
            return await step()
        shop.ledger.letters[CREATED] = LETTER._replace(state=REPLAYED, replayed_as="r-9")
        begun = await step()
        shop.ledger.letters[CREATED] = LETTER
        return begun

    shop.steps.around = replayed_for_a_moment

    result = await shop.replay()

    assert summary(result) == ("GRANTED", REPLAYED, "r-2")


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
        assert summary(last)[1:] == (REPLAYED, "r-2")
        assert summary(await shop.replay("r-3"))[0] == "WRONG_DEAD_LETTER_STATE"
        assert await shop.live() == ["r-2"]
    else:
        assert summary(last) in [("SOLD_OUT", SETTLED, ""), ("RESERVATION_ENDED", SETTLED, "")]
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
    assert summary(await shop.replay("r-2"))[1:] == (SETTLED, "")


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
        outcomes |= {summary(result)[0] for result in last}
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
    await super(type(shop.stock), shop.stock).reserve(Reserve(SALE, name, "b-9", (Line("lamp", 2),), None))
    others = [each for each in await shop.live() if each.startswith("other")]
    if others and random.random() < 0.5:
        await super(type(shop.stock), shop.stock).move(release(random.choice(others)))
