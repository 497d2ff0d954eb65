"""Lists ask the shards before the ledger, share what they ask, and wait for the caller's own commit."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain import time_left
from inventory_service.domain.keys import Position
from inventory_service.domain.lists import Listed, PageRequest, ReservationSelection, Watermark
from inventory_service.domain.shards import CommitId, LedgerUnavailable, RedisUnavailable, ShardStatus
from inventory_service.domain.time_left import caller_leaves
from inventory_service.service import bulkhead, cached_read, shard_moments
from inventory_service.service import lists as lists_module
from inventory_service.service.bulkhead import Bulkhead
from inventory_service.service.lists import Lists
from inventory_service.service.shard_moments import ShardMoments
from tests.unit.simulated_time import simulate_time
from tests.waiting import LONG_S

SHARDS = 3
SERVER_MS = 5
ANY = ReservationSelection("acme", "ada", "", "", ())
FIRST = PageRequest(50, None)


class FakeShards:
    """Shards at commit 7-2, whose clock is at 1000 ms; `away` ones do not answer, `stuck` ones never do."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.away: set[int] = set()
        self.stuck: set[int] = set()

    async def status(self, shard: int) -> ShardStatus:
        self.asked.append(shard)
        if shard in self.stuck:
            await asyncio.Event().wait()
        if shard in self.away:
            raise RedisUnavailable("away")
        texts = {"identity": "me", "owner": "me", "takeover_token": "", "frozen_reason": "", "hash": ""}
        numbers = {"shards": SHARDS, "epoch": 7, "seq": 2, "trim_seq": 0, "outbox_length": 0, "now_ms": 1000}
        values: dict[str, Any] = {**texts, **numbers}
        return ShardStatus(shard, **values)


class FakeLedger:
    """Notes what it is asked; at first it has applied nothing of epoch 7."""

    def __init__(self, shards: FakeShards) -> None:
        self.shards = shards
        self.reached = Watermark(CommitId(7, 0), 400)
        self.watermarks_read = 0
        self.now_ms: Sequence[int] = ()
        self.asked_shards_first = False
        self.is_away = False
        self.journal: set[CommitId] = set()

    async def reservations(
        self, _selection: ReservationSelection, _page: PageRequest, shards: Sequence[int], now_ms: Sequence[int]
    ) -> Listed[Any]:
        if self.is_away:
            raise LedgerUnavailable("away")
        self.asked_shards_first, self.now_ms = set(shards) <= set(self.shards.asked), now_ms
        return Listed([], None, dict.fromkeys(shards, self.reached))

    async def watermarks(self) -> Mapping[int, Watermark]:
        if self.is_away:
            raise LedgerUnavailable("away")
        self.watermarks_read += 1
        return dict.fromkeys(range(SHARDS), self.reached)

    async def has_applied(self, _shard: int, commit: CommitId) -> bool:
        return commit in self.journal


@pytest.fixture
def shards() -> FakeShards:
    return FakeShards()


@pytest.fixture
def ledger(shards: FakeShards) -> FakeLedger:
    return FakeLedger(shards)


@pytest.fixture
def lists(shards: FakeShards, ledger: FakeLedger) -> Lists:
    moments = ShardMoments(shards, SHARDS)  # type: ignore[arg-type]  # the one method that it calls
    return Lists(ledger, moments, Bulkhead(2), SHARDS, lambda: SERVER_MS)  # type: ignore[arg-type]


async def page(lists: Lists, at_least: Position | None = None, selection: ReservationSelection = ANY) -> Any:
    return await lists.reservations(selection, FIRST, at_least)


async def test_the_shards_are_asked_first(lists: Lists, ledger: FakeLedger) -> None:
    """In the other order a list could be told as complete up to a moment after it was read."""
    ledger.reached = Watermark(CommitId(7, 2), 400)

    assert (await page(lists)).complete_time_ms == 1000
    assert ledger.asked_shards_first
    assert ledger.now_ms == [1000, 1000, 1000]


async def test_calls_at_the_same_time_share_what_they_ask_of_a_shard(lists: Lists, shards: FakeShards) -> None:
    """And only the shard of the sale is asked where there is one."""
    await asyncio.gather(*(page(lists) for _ in range(20)))
    assert sorted(shards.asked) == [0, 1, 2]

    shards.asked.clear()
    lists = Lists(lists._ledger, ShardMoments(shards, SHARDS), Bulkhead(2), SHARDS, lambda: SERVER_MS)  # type: ignore[arg-type]
    await page(lists, selection=ANY._replace(sale_id="lamp-sale"))
    assert len(shards.asked) == 1


async def test_where_a_shard_stands_is_cached_for_a_moment(shards: FakeShards, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many lists one after the other cost a shard no more than four questions a second."""
    moments = ShardMoments(shards, SHARDS)  # type: ignore[arg-type]
    for _ in range(5):
        await moments.read([1])
    assert shards.asked == [1]

    monkeypatch.setattr(shard_moments, "MAX_AGE_S", 0.0)
    at_once = ShardMoments(shards, SHARDS)  # type: ignore[arg-type]
    for _ in range(5):
        await at_once.read([1])
    assert shards.asked == [1] * 6


@pytest.mark.parametrize("trouble", ["away", "stuck"])
async def test_a_shard_that_does_not_answer_is_judged_by_the_ledger(
    lists: Lists, shards: FakeShards, ledger: FakeLedger, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to its last commit there, and states by this server's clock; a Redis that is stuck costs little time."""
    monkeypatch.setattr(shard_moments, "TIMEOUT_S", 0.05)
    ledger.reached = Watermark(CommitId(7, 2), 400)
    getattr(shards, trouble).add(1)

    found = await page(lists)

    assert found.complete_time_ms == 400
    assert ledger.now_ms[1] == SERVER_MS


async def test_a_list_waits_until_the_ledger_has_the_commit(
    lists: Lists, ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All who wait share one look at the watermarks."""
    monkeypatch.setattr(shard_moments, "TIMEOUT_S", LONG_S)  # this process may be halted for longer than usual
    waiting = [asyncio.create_task(page(lists, Position(1, 7, 2, 0))) for _ in range(50)]
    await asyncio.sleep(0.12)
    assert not any(task.done() for task in waiting)
    looks = ledger.watermarks_read
    ledger.reached = Watermark(CommitId(7, 2), 400)

    assert {found.complete_time_ms for found in await asyncio.gather(*waiting)} == {1000}
    assert looks <= 4


@pytest.fixture
async def now_s(monkeypatch: pytest.MonkeyPatch) -> Callable[[], float]:
    """Reads a clock of which no time is spent."""
    simulate_time(monkeypatch, lists_module, bulkhead, cached_read, time_left)
    return asyncio.get_running_loop().time


async def test_it_waits_for_half_of_the_deadline(lists: Lists, now_s: Callable[[], float]) -> None:
    """Then there is time left for the answer."""
    began = now_s()
    caller_leaves.set(began + 4.0)

    found = await page(lists, Position(1, 7, 2, 0))

    assert found.reason == reasons.ERROR_REASON_LEDGER_BEHIND
    assert 2.0 <= now_s() - began < 2.2


async def test_a_commit_of_an_earlier_epoch_may_be_lost(
    lists: Lists, ledger: FakeLedger, now_s: Callable[[], float]
) -> None:
    """A watermark in a later epoch says nothing of it; the journal does."""
    ledger.journal = {CommitId(6, 1)}

    assert (await page(lists, Position(1, 6, 1, 0))).complete_time_ms == 400
    caller_leaves.set(now_s() + 3.0)
    assert (await page(lists, Position(1, 6, 2, 0))).reason == reasons.ERROR_REASON_LEDGER_BEHIND


async def test_without_the_ledger_there_is_no_list(lists: Lists, ledger: FakeLedger) -> None:
    """Nor does a call wait for its commit then."""
    ledger.is_away = True

    assert (await page(lists)).reason == reasons.ERROR_REASON_LEDGER_UNREACHABLE
    assert (await page(lists, Position(1, 7, 0, 0))).reason == reasons.ERROR_REASON_LEDGER_UNREACHABLE
