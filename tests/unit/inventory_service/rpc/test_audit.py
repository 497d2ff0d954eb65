"""AuditSale as its caller sees it: one at a time, and a drain ends it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin

from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.sale_reconciliation import AuditDifference, SaleAudit
from inventory_service.domain.shards import LedgerUnavailable, OtherFormat, RedisUnavailable
from inventory_service.rpc.calls.audit import AuditCalls, response_from_audit
from inventory_service.service import sale_audit
from inventory_service.service.sale_audit import SaleAudits
from tests.unit.inventory_service.rpc.wrapped_calls import Calls
from tests.waiting import eventually

REQUEST = admin.AuditSaleRequest(sale_id="lamp-sale")


class Redis:
    """Does not answer, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked = 0

    async def page(self, shard: int, sale: SaleKey, cursor: int, size: int) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error
        await asyncio.Event().wait()


class Ledger:
    """Does not answer."""

    @asynccontextmanager
    async def snapshot(self, shard: int, sale: SaleKey) -> AsyncIterator[None]:
        raise LedgerUnavailable("gone")
        yield


class Server:
    """AuditSale behind the middleware."""

    def __init__(self, error: Exception | None = None) -> None:
        self.redis = Redis(error)
        ledger: Any = Ledger()
        redis: Any = self.redis
        self.calls = Calls()
        audits = SaleAudits(redis, ledger, shards=2)
        self._audit = AuditCalls(audits, self.calls.middleware.draining).AuditSale

    async def audit(self, remaining_s: float | None = None) -> str:
        """How a call ends; each is a task, as in gRPC's server."""
        call = self.calls.outcome("AuditSale", self._audit, REQUEST.SerializeToString(), remaining_s)
        return await asyncio.create_task(call)


async def test_a_drain_ends_an_audit_at_once() -> None:
    """It may last for minutes, and a server that stops has seconds."""
    server = Server()
    audit = asyncio.create_task(server.audit())
    await eventually(lambda: server.redis.asked)

    drained = await server.calls.middleware.drain(within_s=20.0)

    assert drained
    assert await audit == "SERVER_DRAINING"


async def test_a_second_audit_is_overloaded_and_the_next_one_is_not() -> None:
    """One at a time reads a whole sale. One whose caller has left is over."""
    server = Server()
    first = asyncio.create_task(server.audit())
    await eventually(lambda: server.redis.asked)

    second = await server.audit()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    third = await server.audit(remaining_s=0.1)

    assert (second, third) == ("OVERLOADED", "DEADLINE_TOO_SHORT")


async def test_an_audit_ends_with_its_callers_deadline_or_the_longest(monkeypatch: Any) -> None:
    """There is no half answer, and gRPC would cut a call that outlasts its connection's age and grace."""
    server = Server()

    short = await server.audit(remaining_s=0.1)
    monkeypatch.setattr(sale_audit, "LONGEST_S", 0.05)
    longest = await server.audit(remaining_s=3600.0)

    assert (short, longest) == ("DEADLINE_TOO_SHORT", "DEADLINE_TOO_SHORT")


async def test_a_server_that_is_away_is_named() -> None:
    """By the reason that every call has for it."""
    assert await Server(RedisUnavailable("gone")).audit() == "STORE_UNREACHABLE"
    assert await Server(OtherFormat(1, "2", "1")).audit() == "SHARD_NOT_SERVING"
    assert await Server(LedgerUnavailable("gone")).audit() == "LEDGER_UNREACHABLE"


def test_the_response_has_what_was_found() -> None:
    """Nothing that differs: consistent."""
    found = [AuditDifference("item lamp held", "1", "2")]
    audit = SaleAudit(Position(3, 7, 9, 0), found, True, 4, 5)

    response = response_from_audit(audit)

    assert (response.consistent, response.truncated) == (False, True)
    assert (response.items_compared, response.reservations_compared) == (4, 5)
    assert (response.as_of.shard, response.as_of.epoch, response.as_of.seq) == (3, 7, 9)
    assert [(each.subject, each.redis_value, each.ledger_value) for each in response.differences] == [
        *map(tuple, found)
    ]
    assert response_from_audit(audit._replace(differences=[])).consistent
