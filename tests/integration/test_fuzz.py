"""Ten thousand random requests of every method: each is answered as the protos say, and the books agree afterwards.

The requests follow from a seed, which is printed; HOLDFAST_TEST_SEED sets another one.
"""

import asyncio
import gc
import logging
import os
from collections import Counter
from collections.abc import AsyncIterator
from random import Random
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message_factory import GetMessageClass
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import Line
from structlog.testing import capture_logs

from inventory_service.adapters.kafka.runs import runs_from_commits
from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.adapters.redis.outbox import RedisOutbox
from inventory_service.domain.shards import Commit, CommitId
from order_persister.adapters.ledger.postgres import Database
from order_persister.domain.chain import KafkaRecord
from tests import ledgers
from tests.error_reasons import Documented, documented
from tests.faults.independent_checker import Told, find_violations
from tests.faults.recovery.stored import InLedger, read_ledger, read_redis
from tests.fuzzed_requests import IDS, FuzzedRequests
from tests.integration.test_request_fields import VALID, statuses_in
from tests.inventory_server import SHARDS, Caller, CallError, call_error, first_answer_to, status_error
from tests.ledger_consistency import inconsistencies
from tests.methods import METHODS
from tests.servers import connected

SEED = int(os.environ.get("HOLDFAST_TEST_SEED", "1"))
REQUESTS = 10_000
CALLERS = 100
READ_S = 2.0  # a read may wait for the ledger, which nothing is written to meanwhile
# Of these hardly one random request is sound and meets what it needs, so each is made once by hand before; but an audit
# needs a ledger that has all shards.
SELDOM = {
    "AuditSale",
    "ConfirmReservation",
    "ExtendReservation",
    "ChangeReservation",
    "ReturnReservation",
    "CreateSale",
    "AdjustStock",
}
WITH_A_DEAD_LETTER = {"ReplayDeadLetter"}  # it succeeds in test_replay.py, where an order was refused before
# Without reservations there is nothing to move, and a sale that is closed sells none.
WEIGHTS = [{"Reserve": 8.0, "CloseSale": 0.1}.get(method.name, 1.0) for method in METHODS.values()]
HAS_A_DEADLINE = "cut by its caller's deadline"
DOCUMENTED = documented()
# asyncpg leaves a future behind when a connection attempt is cancelled, as by a caller that leaves: asyncio logs it.
LEFT_BEHIND = "unexpected connection_lost() call"


class Outcome(NamedTuple):
    """How a request ended: the reason of its status, or OK."""

    method: str
    reason: str


async def test_random_requests_are_answered_as_documented_and_the_books_agree(
    caller: Caller, valkey: str, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is sent, no call ends without a reason, nothing is logged as a bug, and no unit is lost or made."""
    print(f"HOLDFAST_TEST_SEED={SEED}")
    await use_each_that_random_requests_seldom_do(caller)
    for number in range(IDS["sale_id"] - 2):  # the others may be made by a request
        await caller.create_sale(
            f"sale_id-{number}", items=[{"sku": f"sku-{n}", "total": 500} for n in range(IDS["sku"])]
        )

    gc.collect()  # asyncio logs what a test before this one left unread when it is collected, as an error
    with capture_logs() as logged, caplog.at_level(logging.ERROR):
        outcomes = await send_all(caller, REQUESTS)

    assert [line for line in logged if line["log_level"] in ("error", "critical")] == []
    assert [text for record in caplog.records if LEFT_BEHIND not in (text := record.getMessage())] == []
    reasons = Counter(outcome.reason for outcome in outcomes)
    assert reasons.keys() >= {"OK", "UNREADABLE", "UNKNOWN_FIELD", "FIELD_OUT_OF_BOUNDS"}, reasons
    assert {outcome.method for outcome in outcomes} == set(METHODS)
    succeeded = {outcome.method for outcome in outcomes if outcome.reason == "OK"}
    assert succeeded | SELDOM | WITH_A_DEAD_LETTER == VALID.keys()
    assert await book(valkey, database) == []


async def use_each_that_random_requests_seldom_do(caller: Caller) -> None:
    """A reservation becomes one of three units, of which two are sold and one comes back."""
    await caller.create_sale()
    await caller.admin.AdjustStock(
        admin.AdjustStockRequest(sale_id="lamp-sale", sku="lamp", adjustment_id="a-1", delta=1, reason="found")
    )
    await caller.reserve("r-1", quantity=2)
    name: Any = {"sale_id": "lamp-sale", "reservation_id": "r-1"}
    await caller.stock.ExtendReservation(calls.ExtendReservationRequest(**name, hold_ttl={"seconds": 60}))
    await caller.stock.ChangeReservation(calls.ChangeReservationRequest(**name, lines=[Line(sku="lamp", quantity=3)]))
    part: Any = {"lines": [Line(sku="lamp", quantity=2)]}
    await caller.stock.ConfirmReservation(calls.ConfirmReservationRequest(**name, partial=part))
    await caller.stock.ReturnReservation(
        calls.ReturnReservationRequest(**name, reason="broken", lines=[Line(sku="lamp", quantity=1)], discard=True)
    )


async def send_all(caller: Caller, count: int) -> list[Outcome]:
    """Send so many requests, some at a time; the seed decides on them, and not on the order in which they arrive."""
    requests, which, outcomes = FuzzedRequests(SEED), Random(SEED), list[Outcome]()
    waiting = ((method, requests.next(method)) for method in which.choices([*METHODS.values()], WEIGHTS, k=count))

    async def send_one_by_one() -> None:
        for method, sent in waiting:
            outcomes.append(await outcome(caller, method, sent))

    await asyncio.gather(*(send_one_by_one() for _ in range(CALLERS)))
    return outcomes


async def outcome(caller: Caller, method: MethodDescriptor, sent: bytes) -> Outcome:
    """How one request ends; an AssertionError that names it unless the protos say so."""
    try:
        answer = GetMessageClass(method.output_type).FromString(await first_answer(caller.channel, method, sent))
    except grpc.aio.AioRpcError as error:
        if is_read(method) and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and not error.trailing_metadata():
            return Outcome(method.name, HAS_A_DEADLINE)
        found = call_error(error)
        assert_documented(found, method, sent)
        return Outcome(method.name, found.reason)
    for status in statuses_in(answer):
        assert_documented(status_error(status), method, sent)
    return Outcome(method.name, "OK")


def assert_documented(found: CallError, method: MethodDescriptor, sent: bytes) -> None:
    """Its reason has this code, and is not that the outcome is unknown, where every server answers in time."""
    assert found.reason != "OUTCOME_UNKNOWN", f"{method.name} {sent!r:.500}"
    assert DOCUMENTED[found.reason] == Documented(found.code, found.retries), f"{method.name} {sent!r:.500}: {found}"


async def first_answer(channel: Any, method: MethodDescriptor, sent: bytes) -> bytes:
    """Call a method of any kind with bytes, and wait for its first answer; b'' if a stream ends without one."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    timeout = READ_S if is_read(method) else None
    if not (method.client_streaming or method.server_streaming):
        answer: bytes = await channel.unary_unary(path)(sent, timeout=timeout)
        return answer
    if method.client_streaming:
        first = await first_answer_to(channel.stream_stream(path), sent)
    else:
        call = channel.unary_stream(path)(sent)
        first = await call.read()
        call.cancel()
    return b"" if first is grpc.aio.EOF else first


def is_read(method: MethodDescriptor) -> bool:
    return bool(method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS)


async def book(redis_url: str, dsn: str) -> list[str]:
    """Book all commits in the ledger, as relay and persister do; what then does not agree, a sentence each."""
    async with connected(dsn) as db:
        await db.execute("delete from blocked_buyer")  # the ledger would refuse their orders, and await compensations
        await ledgers.open_shards(db, range(SHARDS), of=SHARDS)
        database = Database(dsn)
        for shard in range(SHARDS):
            commits = [commit async for commit in outbox_of(redis_url, shard)]
            runs = runs_from_commits(shard, commits)
            await ledgers.ledger_in(database).apply([KafkaRecord(shard, at, run.value) for at, run in enumerate(runs)])
        await database.close()
        in_ledger: InLedger = await read_ledger(db)
        assert sum(row.state in ("HELD", "CONFIRMED", "RELEASED") for row in in_ledger.reservations.values()) > 30
        nothing = Told([], (), (), may_lose=False, blocked="")
        return [
            *find_violations(await read_redis(redis_url, SHARDS), in_ledger, nothing, []),
            *await inconsistencies(db),
        ]


async def outbox_of(redis_url: str, shard: int) -> AsyncIterator[Commit]:
    connections, after = connections_to(redis_url), CommitId(0, 0)
    outbox = RedisOutbox(connections)
    while commits := await outbox.read_after(shard, after, wait_ms=1):
        for commit in commits:
            yield commit
        after = commits[-1].commit_id
    await connections.close()
