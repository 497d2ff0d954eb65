"""A Redis that is halted or killed: calls fail at once until a probe has found it again, and no unit is lost."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast_embedded.valkey import Valkey

from tests.integration.server_health import NOT_SERVING, health, is_on_page, is_serving, serving
from tests.inventory_server import Caller, ServerProcess, call_error, calling, open_shards, until_judged
from tests.servers import StartValkey
from tests.waiting import eventually

UNITS = 40
CLAIMS = 4  # that are out when Redis is halted
OPEN, CLOSED = "holdfast_redis_breaker_open 1.0", "holdfast_redis_breaker_open 0.0"
REPLY_S = 5.0  # for which a call that was sent waits
LATE_S, OPENS_S, CLOSES_S, SLACK_S = 1.0, 1.2, 2.0, 2.0  # the last for a busy machine
ROUNDS = 4  # of which a machine that stands still for seconds makes some late, and not all
SALE = calls.GetSaleRequest(sale_id="lamp-sale")
Outcome = str  # HELD, SOLD_OUT, or the reason of an error


class Outage:
    """A server on a Redis that a test halts, and the claims of buyers that go on meanwhile."""

    def __init__(self, valkey: Valkey, server: ServerProcess, caller: Caller) -> None:
        self.valkey = valkey
        self.server = server
        self.caller = caller

    async def claim(self, name: str) -> Outcome:
        """Ask once for a unit."""
        try:
            answer = await self.caller.reserve(name)
        except grpc.aio.AioRpcError as error:
            return call_error(error).reason
        return "HELD" if answer.HasField("reservation") else "SOLD_OUT"

    async def judged(self, name: str) -> Outcome:
        """Ask for a unit until it is judged."""

        async def is_judged() -> Outcome | None:
            """Redis has answered in time."""
            outcome = await self.claim(name)
            return outcome if outcome in ("HELD", "SOLD_OUT") else None

        return await eventually(is_judged)

    async def halt(self, name: str = "out") -> "list[asyncio.Task[Outcome]]":
        """Halt Redis while claims are out; return those claims when the breaker is open."""
        self.valkey.signal(signal.SIGSTOP)
        claims = [asyncio.create_task(self.claim(f"{name}-{number}")) for number in range(CLAIMS)]
        await eventually(lambda: is_on_page(self.server, OPEN))
        return claims

    async def serves(self) -> float:
        """Return how long it took until the breaker has closed; no call is made meanwhile."""
        began = time.monotonic()
        await eventually(lambda: is_on_page(self.server, CLOSED))
        return time.monotonic() - began

    async def halted_for_a_moment(self, name: str) -> bool:
        """What was sent to Redis gets its reply when that goes on; whether the breaker opened and closed in time."""
        halted = time.monotonic()
        claims = await self.halt(name)
        opened_s = time.monotonic() - halted
        await eventually(lambda: fails_at_once(self))
        assert await health(self.caller) == NOT_SERVING
        self.valkey.signal(signal.SIGCONT)
        closed_s = await self.serves()
        heard = await asyncio.gather(*claims)
        if opened_s > LATE_S and time.monotonic() - halted < REPLY_S:  # the claims were sent, and each got its reply
            assert "OUTCOME_UNKNOWN" not in heard
            assert "HELD" in heard
        print(f"opened after {opened_s:.2f} s, closed after {closed_s:.2f} s")
        return LATE_S < opened_s < OPENS_S + SLACK_S and closed_s < CLOSES_S + SLACK_S


@pytest.fixture
async def outage(start_valkey: StartValkey, database: str) -> AsyncIterator[Outage]:
    valkey = start_valkey()
    async with serving(valkey.address, database) as server, calling(server.address) as caller:
        await caller.create_sale(units=UNITS)
        yield Outage(valkey, server, caller)


async def test_while_redis_is_halted_calls_fail_at_once_and_what_was_sent_gets_its_reply(outage: Outage) -> None:
    """New calls hear STORE_UNREACHABLE within 50 ms; when Redis goes on a probe finds it, and claims are answered."""
    assert await outage.judged("before") == "HELD"

    begun, is_in_time = list[str](), False
    while not is_in_time and len(begun) < ROUNDS:
        begun.append(f"round-{len(begun)}")
        is_in_time = await outage.halted_for_a_moment(begun[-1])

    assert is_in_time
    assert await outage.judged("after") == "HELD"
    names = ["before", "after", *(f"{name}-{number}" for name in begun for number in range(CLAIMS))]
    assert await held_after_repeats(outage, names) == len(names)
    await eventually(lambda: is_serving(outage.caller))


async def fails_at_once(outage: Outage) -> bool:
    """Each of a hundred claims, reads and confirms fails within 50 ms: none of them waits for Redis."""
    stock = outage.caller.stock
    confirm = calls.ConfirmReservationRequest(sale_id="lamp-sale", reservation_id="new-0")
    slowest_s = 0.0
    for number in range(100):
        await asyncio.sleep(0)
        for call in (outage.caller.reserve(f"new-{number}"), stock.GetSale(SALE), stock.ConfirmReservation(confirm)):
            began = time.monotonic()
            assert await reason_of(call) == "STORE_UNREACHABLE"
            slowest_s = max(slowest_s, time.monotonic() - began)
    return slowest_s < 0.05  # on a busy machine one of hundreds may take longer by itself


async def reason_of(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return call_error(error).reason
    return "OK"


async def test_what_was_sent_to_a_redis_that_never_answers_is_unknown_and_its_repeat_is_judged_once(
    outage: Outage,
) -> None:
    """Redis is killed after five seconds and comes back: each claim gets its unit once, and no unit is sold twice."""
    sold = [f"before-{number}" for number in range(UNITS - 2)]
    assert set(await asyncio.gather(*map(outage.judged, sold))) == {"HELD"}
    claims = await outage.halt()

    heard = await asyncio.gather(*claims)
    outage.valkey.kill()
    assert await outage.claim("meanwhile") == "STORE_UNREACHABLE"
    outage.valkey.start()
    await open_shards(outage.valkey.address, epoch=2)
    await outage.serves()

    assert set(heard) <= {"OUTCOME_UNKNOWN", "STORE_UNREACHABLE"}
    assert "OUTCOME_UNKNOWN" in heard
    names = [*sold, *(f"out-{number}" for number in range(CLAIMS)), *(f"late-{number}" for number in range(4))]
    assert await held_after_repeats(outage, names) == UNITS


async def held_after_repeats(outage: Outage, names: list[str]) -> int:
    """Repeat each claim until it is answered; return how many have a unit, which is what the sale says."""
    outcomes = [await outage.judged(name) for name in names]
    [lamp] = (await until_judged(lambda: outage.caller.stock.GetSale(SALE))).sale.items
    assert (lamp.held, lamp.available) == (outcomes.count("HELD"), UNITS - lamp.held)
    return int(lamp.held)
