"""Blocks of many buyers at once: how many of the ledger's connections they take."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest
from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1.inventory_admin_service_pb2 import BlockBuyerRequest

from inventory_service.domain.blocked_buyers import BlockChange
from inventory_service.domain.keys import BuyerKey
from inventory_service.domain.ports import BlockedCopies, BlockedList
from inventory_service.domain.results import Failure
from inventory_service.domain.shards import LedgerOutcomeUnknown
from inventory_service.rpc.calls import buyers as calls
from inventory_service.rpc.calls.call import Context
from inventory_service.service.blocked_buyers import BlockedBuyers
from inventory_service.service.bulkhead import Bulkhead
from tests.waiting import eventually

AT_ONCE = 2


class SlowList:
    """A list that makes a change once the test has set the event `answers`; its copies have every change."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.under_way = 0
        self.most = 0
        self.fails = False
        self.blocked_by = list[str]()

    async def block_buyer(self, tenant: str, buyer_id: str, reason: str, actor: str) -> BlockChange:
        self.blocked_by.append(actor)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.answers.wait()
        self.under_way -= 1
        if self.fails:
            raise LedgerOutcomeUnknown("no answer")
        return BlockChange(BuyerKey(tenant, buyer_id), True, 0, 1)

    async def unblock_buyer(self, tenant: str, buyer_id: str) -> BlockChange:
        return (await self.block_buyer(tenant, buyer_id, "", ""))._replace(is_blocked=False)

    async def change(self, shard: int, change: BlockChange) -> bool:
        return True


def blocked_buyers(listed: SlowList) -> BlockedBuyers:
    return BlockedBuyers(cast(BlockedList, listed), Bulkhead(AT_ONCE), cast(BlockedCopies, listed), shards=1)


async def test_blocks_of_many_buyers_leave_connections_to_other_calls() -> None:
    """They wait for each other in the ledger, and calls about archived reservations need its connections meanwhile."""
    listed = SlowList()
    buyers = blocked_buyers(listed)
    calls = [asyncio.ensure_future(buyers.block("default", f"bot-{n}", "a bot", "", lambda: None)) for n in range(20)]
    calls.append(asyncio.ensure_future(buyers.unblock("default", "ann", lambda: None)))
    await eventually(lambda: listed.under_way == AT_ONCE)

    listed.answers.set()

    assert {type(change) for change in await asyncio.gather(*calls)} == {BlockChange}
    assert listed.most == AT_ONCE


async def test_a_block_that_the_ledger_does_not_answer_may_have_been_made() -> None:
    """Its caller repeats it, which is harmless."""
    listed = SlowList()
    listed.fails = True
    listed.answers.set()

    answer = await blocked_buyers(listed).block("default", "bob", "a bot", "", lambda: None)

    assert answer == Failure(reasons.ERROR_REASON_OUTCOME_UNKNOWN)


async def test_a_block_keeps_who_made_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller of BlockBuyer, as it stands with adjustments and changes of sales."""
    monkeypatch.setattr(calls, "actor_of", lambda _context: "ops")
    listed = SlowList()
    listed.answers.set()
    context = cast(Context, SimpleNamespace(time_remaining=lambda: None))

    request = BlockBuyerRequest(buyer_id="bob", reason="a bot")
    await calls.BuyerCalls(blocked_buyers(listed)).BlockBuyer(request, context)

    assert listed.blocked_by == ["ops"]
