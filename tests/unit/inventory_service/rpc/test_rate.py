"""The rate of each caller: whose bucket a call takes from, what it costs, and what one that calls too often hears."""

import asyncio
from typing import Any

import pytest
from google.rpc import error_details_pb2, status_pb2
from holdfast.inventory.v1 import inventory_service_pb2 as calls

from inventory_service.domain.caller import ANYONE
from inventory_service.rpc.auth import current_caller
from inventory_service.rpc.methods import CLAIM
from inventory_service.rpc.rate import CallerRate, address_of, caller_of
from inventory_service.service.rate_limit import RateLimit
from tests.unit.inventory_service.rpc.reserve_requests import Served, ToldStock, request
from tests.unit.inventory_service.rpc.reserve_streams import Stream
from tests.unit.inventory_service.rpc.wrapped_calls import EVERY_HANDLER, Aborted, Calls, FakeContext
from tests.waiting import eventually

BURST = 3


class SlowRate(CallerRate):
    """Three calls at once, and one more in a thousand seconds, unless the test has time pass."""

    def __init__(self) -> None:
        self.now, self.throttled = 1000.0, 0
        super().__init__(RateLimit(0.001, BURST, lambda: self.now), self._count)

    def _count(self) -> None:
        self.throttled += 1


@pytest.fixture
def rate() -> SlowRate:
    return SlowRate()


async def done(_request: Any, _context: Any) -> str:
    return "done"


def retry_ms(status: status_pb2.Status) -> int:
    """When a call that failed may be repeated."""
    for detail in status.details:
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(retry):
            return int(retry.retry_delay.ToMilliseconds())
    raise AssertionError(f"no RetryInfo: {status}")


async def status_of(served: Served, method: str, sent: Any) -> str:
    """The code of a call's status, in words, with the milliseconds until it may be repeated."""
    context = FakeContext(None)
    try:
        await asyncio.ensure_future(served.call(method, sent, context))
    except Aborted:
        return f"{context.reason} {retry_ms(context.status)}"
    return "OK"


async def test_a_call_beyond_the_rate_is_throttled_and_hears_when_its_token_is_there(rate: SlowRate) -> None:
    """One that waits so long succeeds."""
    served = Served(ToldStock(), rate=rate)

    heard = [await status_of(served, "Reserve", request("r")) for _ in range(BURST + 1)]
    rate.now += 1000

    assert heard == ["OK"] * BURST + ["THROTTLED 1000000"]
    assert await status_of(served, "Reserve", request("r")) == "OK"
    assert rate.throttled == 1


async def test_the_rate_is_checked_before_the_slots(rate: SlowRate) -> None:
    """A caller that calls too often hears so, whatever the load; health is no method of these services."""
    served = Calls(rate=rate)
    served.middleware.slots.in_use = CLAIM.slots

    heard = [await served.outcome("Reserve", done) for _ in range(BURST + 1)]
    await served.middleware.drain(within_s=0.0)

    assert heard == ["OVERLOADED"] * BURST + ["THROTTLED"]
    assert await served.outcome("Reserve", done) == "SERVER_DRAINING"


async def test_every_call_costs_a_token() -> None:
    """Reads, calls of operators and watches too."""
    for method in EVERY_HANDLER.keys() - {"StreamReserve"}:
        served = Calls(rate=SlowRate())

        heard = [await served.outcome_of(method, EVERY_HANDLER[method], b"", 0.001) for _ in range(BURST + 1)]

        assert (method, heard) == (method, ["DEADLINE_TOO_SHORT"] * BURST + ["THROTTLED"])


async def test_a_batch_costs_as_much_as_it_has_requests(rate: SlowRate) -> None:
    """One that is throttled is not judged at all, and costs nothing."""
    stock = ToldStock()
    served = Served(stock, rate=rate)
    two = calls.BatchReserveRequest(requests=[request("r-1"), request("r-2")])

    assert await status_of(served, "BatchReserve", two) == "OK"
    assert await status_of(served, "BatchReserve", two) == "THROTTLED 1000000"
    assert len(stock.asked) == 2
    assert await status_of(served, "Reserve", request("r")) == "OK"


async def test_a_batch_out_of_bounds_is_told_so_before_it_is_charged(rate: SlowRate) -> None:
    """It costs what any call costs."""
    served = Served(ToldStock(), rate=rate)
    none, many = calls.BatchReserveRequest(), calls.BatchReserveRequest(requests=[request("r")] * 501)

    for sent in (none, many):
        assert (await served.status("BatchReserve", sent)).message.startswith("Fields are out of bounds")
    assert await status_of(served, "Reserve", request("r")) == "OK"


async def test_a_stream_waits_for_the_tokens_of_its_messages() -> None:
    """It reads no further meanwhile, and hears no THROTTLED."""
    served = Served(ToldStock(), rate=CallerRate(RateLimit(50, 4), lambda: None))
    stream = Stream(served)
    stream.send(*(f"r-{number}" for number in range(8)))

    await eventually(lambda: len(stream.answers) == 3)
    assert stream.taken < 8
    stream.half_close()

    assert await stream.call == "OK"
    assert stream.numbers == list(range(8))
    assert {answer.result.WhichOneof("result") for answer in stream.answers} == {"response"}


async def test_a_stream_that_ends_while_it_waits_leaves_what_it_did_not_judge_unanswered(rate: SlowRate) -> None:
    """SERVER_DRAINING: those messages were not judged, and may be sent again."""
    stock = ToldStock()
    served = Served(stock, rate=rate)
    stream = Stream(served)
    stream.send(*(f"r-{number}" for number in range(8)))
    await eventually(lambda: len(stream.answers) == BURST - 1 and stream.taken == BURST)

    await served.middleware.drain(within_s=60.0)

    assert await stream.call == "SERVER_DRAINING"
    assert len(stock.asked) == BURST - 1


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.7:50051", "192.0.2.7"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:50051", "2001:db8:1:2::"),
        ("ipv6:[2001:db8:1:2::9]:50051", "2001:db8:1:2::"),
        ("ipv6:%5B::ffff:192.0.2.7%5D:50051", "192.0.2.7"),
        ("ipv6:%5Bfe80::1%25eth0%5D:50051", "fe80::"),
        ("unix:/run/holdfast.sock", "unix:/run/holdfast.sock"),
        ("unix:", "unix:"),
    ],
)
def test_a_peer_is_known_by_its_address_without_the_port(peer: str, address: str) -> None:
    """Otherwise each new connection would have a bucket of its own; one host has 2^64 addresses of IPv6."""
    assert address_of(peer) == address


def test_a_caller_with_a_subject_is_known_by_tenant_and_subject() -> None:
    """Wherever it calls from; without one, by its address."""
    context: Any = FakeContext(None)
    before = caller_of(context)
    token = current_caller.set(ANYONE._replace(tenant="acme", subject="shop"))
    try:
        assert (before, caller_of(context)) == ("192.0.2.1", ("acme", "shop"))
    finally:
        current_caller.reset(token)
