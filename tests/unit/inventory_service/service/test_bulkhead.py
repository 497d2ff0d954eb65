"""Questions to the ledger are asked in turn: however many callers come late, few are under way and few wait."""

import asyncio
from typing import TypeVar

from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.results import Failure
from inventory_service.domain.shards import LedgerUnavailable
from inventory_service.service.bulkhead import Bulkhead
from inventory_service.service.lru_cache import LruCache
from tests.waiting import eventually

AT_ONCE, WAITING = 2, 3
OVERLOADED = Failure(reasons.ERROR_REASON_OVERLOADED)
UNREACHABLE = Failure(reasons.ERROR_REASON_LEDGER_UNREACHABLE)
T = TypeVar("T")


class SlowLedger:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.answered = 0
        self.answers = asyncio.Event()

    async def answer(self) -> str:
        self.asked += 1
        await self.answers.wait()
        self.answered += 1
        return "here"


async def test_few_questions_are_under_way_and_the_others_wait() -> None:
    """The ledger has a few connections, and others need them too."""
    ledger, bulkhead = SlowLedger(), Bulkhead(AT_ONCE, WAITING)
    calls = [asyncio.ensure_future(bulkhead.ask(ledger.answer)) for _ in range(AT_ONCE + WAITING)]
    await eventually(lambda: ledger.asked == AT_ONCE)
    under_way = ledger.asked

    ledger.answers.set()

    assert await asyncio.gather(*calls) == ["here"] * len(calls)
    assert (under_way, ledger.answered) == (AT_ONCE, len(calls))


async def test_who_would_wait_behind_too_many_comes_again_later() -> None:
    """The ledger is not even asked; once the others are through there is room again."""
    ledger, bulkhead = SlowLedger(), Bulkhead(AT_ONCE, WAITING)
    calls = [asyncio.ensure_future(bulkhead.ask(ledger.answer)) for _ in range(AT_ONCE + WAITING)]
    await eventually(lambda: ledger.asked == AT_ONCE)

    told = await bulkhead.ask(ledger.answer)
    ledger.answers.set()
    await asyncio.gather(*calls)
    later = await bulkhead.ask(ledger.answer)

    assert (told, later) == (OVERLOADED, "here")
    assert ledger.asked == AT_ONCE + WAITING + 1


async def test_a_turn_that_does_not_come_is_no_answer() -> None:
    """A ledger that hangs must not keep callers for ever."""
    ledger, bulkhead = SlowLedger(), Bulkhead(1, WAITING, wait_s=0.01)
    first = asyncio.ensure_future(bulkhead.ask(ledger.answer))
    await eventually(lambda: ledger.asked == 1)

    told = await bulkhead.ask(ledger.answer)

    ledger.answers.set()
    assert (told, await first, ledger.asked) == (UNREACHABLE, "here", 1)


async def test_a_question_without_an_answer_gives_its_turn_on() -> None:
    """As does a caller who leaves, under way or waiting."""
    ledger, bulkhead = SlowLedger(), Bulkhead(1, 1)

    async def away() -> str:
        raise LedgerUnavailable("away")

    told = [await bulkhead.ask(away) for _ in range(3)]
    leaving = [asyncio.ensure_future(bulkhead.ask(ledger.answer)) for _ in range(2)]
    await eventually(lambda: ledger.asked == 1)
    for call in leaving:
        call.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    ledger.answers.set()

    assert told == [UNREACHABLE] * 3
    assert await bulkhead.ask(ledger.answer) == "here"


def test_what_was_not_asked_for_the_longest_leaves_first() -> None:
    """So much is kept, and no more."""
    cache: LruCache[str, int] = LruCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    cache.get("a")

    cache.put("c", 3)

    assert [cache.get(name) for name in "abc"] == [1, None, 3]
