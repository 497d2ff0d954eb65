"""The bulkhead: however many callers there are, few queries of the ledger run at once and few wait."""

import asyncio
from typing import TypeVar

import pytest
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.adapters.ledger import pool as pool_module
from inventory_service.adapters.ledger.archive import LedgerArchive
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.domain import time_left
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.results import Failure
from inventory_service.domain.shards import LedgerUnavailable
from inventory_service.service import bulkhead as bulkhead_module
from inventory_service.service.bulkhead import Bulkhead
from tests.unit.simulated_time import simulate_time
from tests.waiting import eventually

AT_ONCE, WAITING = 2, 3
OVERLOADED = Failure(reasons.ERROR_REASON_OVERLOADED)
UNREACHABLE = Failure(reasons.ERROR_REASON_LEDGER_UNREACHABLE)
T = TypeVar("T")


class SlowLedger:
    """Answers once the test has set the event `answers`."""

    def __init__(self) -> None:
        self.asked = 0
        self.answered = 0
        self.answers = asyncio.Event()

    async def answer(self) -> str:
        self.asked += 1
        await self.answers.wait()
        self.answered += 1
        return "here"


async def test_few_queries_run_at_once_and_the_others_wait() -> None:
    """The ledger has few connections, and other work needs them too."""
    ledger, bulkhead = SlowLedger(), Bulkhead(AT_ONCE, WAITING)
    calls = [asyncio.ensure_future(bulkhead.ask(ledger.answer)) for _ in range(AT_ONCE + WAITING)]
    await eventually(lambda: ledger.asked == AT_ONCE)
    under_way = ledger.asked

    ledger.answers.set()

    assert await asyncio.gather(*calls) == ["here"] * len(calls)
    assert (under_way, ledger.answered) == (AT_ONCE, len(calls))


async def test_a_full_queue_fails_the_next_query_with_overloaded() -> None:
    """The ledger does not get the query; once the others are done, there is room again."""
    ledger, bulkhead = SlowLedger(), Bulkhead(AT_ONCE, WAITING)
    calls = [asyncio.ensure_future(bulkhead.ask(ledger.answer)) for _ in range(AT_ONCE + WAITING)]
    await eventually(lambda: ledger.asked == AT_ONCE)

    failures = await bulkhead.ask(ledger.answer)
    ledger.answers.set()
    await asyncio.gather(*calls)
    later = await bulkhead.ask(ledger.answer)

    assert (failures, later) == (OVERLOADED, "here")
    assert ledger.asked == AT_ONCE + WAITING + 1


async def test_a_query_whose_turn_does_not_come_fails_with_ledger_unreachable() -> None:
    """A ledger that hangs must not block callers for ever."""
    ledger, bulkhead = SlowLedger(), Bulkhead(1, WAITING, limit_s=0.01)
    first = asyncio.ensure_future(bulkhead.ask(ledger.answer))
    await eventually(lambda: ledger.asked == 1)

    failures = await bulkhead.ask(ledger.answer)

    ledger.answers.set()
    assert (failures, await first, ledger.asked) == (UNREACHABLE, "here", 1)


async def test_a_query_that_fails_or_is_cancelled_frees_its_place() -> None:
    """A query that was cancelled while it waited frees its place in the queue."""
    ledger, bulkhead = SlowLedger(), Bulkhead(1, 1)

    async def away() -> str:
        raise LedgerUnavailable("away")

    failures = [await bulkhead.ask(away) for _ in range(3)]
    leaving = [asyncio.ensure_future(bulkhead.ask(ledger.answer)) for _ in range(2)]
    await eventually(lambda: ledger.asked == 1)
    for call in leaving:
        call.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    ledger.answers.set()

    assert failures == [UNREACHABLE] * 3
    assert await bulkhead.ask(ledger.answer) == "here"


async def test_a_caller_hears_of_a_silent_ledger_before_it_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second call spends its time on the wait for the first; neither caller is left with an unknown outcome."""
    monkeypatch.setattr(time_left, "MARGIN_S", 10.0)  # so half of what is left
    kept = list[asyncio.StreamWriter]()
    silent = await asyncio.start_server(lambda _reader, writer: kept.append(writer), "127.0.0.1", 0)
    host, port = silent.sockets[0].getsockname()
    pool, bulkhead = LedgerPool(f"postgresql://{host}:{port}/silent"), Bulkhead(1)
    archive, loop = LedgerArchive(pool), asyncio.get_running_loop()
    began = loop.time()
    time_left.caller_leaves.set(began + 6.0)

    async def ask() -> tuple[bool | Failure, float]:
        answer = await bulkhead.ask(lambda: archive.sale_exists(SaleKey("default", "lamp-sale")))
        return answer, loop.time() - began

    asking = asyncio.gather(ask(), ask())
    await eventually(lambda: kept)
    simulate_time(monkeypatch, bulkhead_module, time_left, pool_module)
    answers = await asking

    assert [answer for answer, _ in answers] == [UNREACHABLE] * 2
    assert all(2.9 < took_s < 6.0 for _, took_s in answers), answers
    await pool.close()
    for writer in kept:
        writer.close()
    silent.close()
