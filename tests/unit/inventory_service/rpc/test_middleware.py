"""The checks that every call passes before it is judged, in their order, and how a call ends."""

import asyncio
from collections.abc import Sequence
from math import inf
from time import perf_counter
from typing import Any

import grpc
import pytest
from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import Line
from structlog.testing import capture_logs

from inventory_service.domain.caller import AUDIT, READ, Caller
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Failure
from inventory_service.domain.time_left import caller_leaves
from inventory_service.rpc import methods, middleware
from inventory_service.rpc.accepting import AcceptingServer
from inventory_service.rpc.methods import CLAIM, METHODS, MOVE, SLOTS, STREAMS
from inventory_service.rpc.status import CallFailed
from inventory_service.service.batcher import Batcher
from tests.debug_log import log_everything
from tests.unit.inventory_service.rpc.wrapped_calls import EVERY_HANDLER, Behaviour, Calls
from tests.waiting import eventually

UNREADABLE = b"\xff"
UNKNOWN = b"\xf8\x07\x01"  # field 127, a number


async def done(request: Any, context: Any) -> str:
    return "done"


async def never(request: Any, context: Any) -> None:
    await asyncio.Event().wait()


async def test_the_first_check_that_fails_decides() -> None:
    """A request that fails them all hears one reason after the other, as each is mended."""
    served = Calls(is_open=False)
    slots = served.middleware.slots
    slots.in_use = CLAIM.slots

    async def outcome(behaviour: Behaviour = done, sent: bytes = UNREADABLE, remaining_s: float = 0.0099) -> str:
        return await served.outcome("Reserve", behaviour, sent, remaining_s)

    assert await outcome() == "OVERLOADED"
    slots.in_use -= 1
    assert await outcome() == "DEADLINE_TOO_SHORT"
    assert await outcome(remaining_s=0.01) == "SHARD_NOT_SERVING"
    served.middleware.open()
    assert await outcome(remaining_s=1.0) == "UNREADABLE"
    assert await outcome(sent=UNKNOWN, remaining_s=1.0) == "UNKNOWN_FIELD"
    assert await outcome(sent=b"", remaining_s=1.0) == "done"
    slots.in_use += 1
    await served.middleware.drain(within_s=0.0)
    assert await outcome() == "SERVER_DRAINING"


async def test_a_call_knows_until_when_its_caller_waits() -> None:
    """So that it asks the ledger no longer than that; one without a deadline after it has none."""
    served, left = Calls(), list[float]()

    async def look(_request: Any, _context: Any) -> str:
        left.append(caller_leaves.get() - perf_counter())
        return "done"

    for remaining_s in (9.0, None):  # each call is a task, as in gRPC's server
        assert await asyncio.create_task(served.outcome("GetSale", look, b"", remaining_s)) == "done"

    assert 0.0 < left[0] <= 9.0
    assert left[1] == inf


async def test_every_method_passes_the_checks() -> None:
    """A server that is full or stops sends every caller away, streams included."""
    served = Calls()

    async def outcomes() -> dict[str, str]:
        handlers = EVERY_HANDLER.items()
        return {name: await served.outcome_of(name, handler, UNREADABLE, 0.001) for name, handler in handlers}

    assert await outcomes() == dict.fromkeys(EVERY_HANDLER, "DEADLINE_TOO_SHORT")
    served.middleware.slots.in_use, served.middleware.streams.in_use = SLOTS, STREAMS
    assert await outcomes() == dict.fromkeys(EVERY_HANDLER, "OVERLOADED")
    await served.middleware.drain(within_s=0.0)
    assert await outcomes() == dict.fromkeys(EVERY_HANDLER, "SERVER_DRAINING")


@pytest.mark.parametrize(("method", "slots"), [("GetSale", CLAIM.slots), ("ConfirmReservation", MOVE.slots)])
async def test_the_slots_of_a_class_are_all_used_and_no_more(method: str, slots: int) -> None:
    """What is begun is finished under load: a claim fails before a move."""
    served = Calls()

    served.middleware.slots.in_use = slots - 1
    assert await served.outcome(method, done) == "done"
    served.middleware.slots.in_use = slots
    assert await served.outcome(method, done) == "OVERLOADED"

    assert served.middleware.slots.in_use == slots < SLOTS


async def test_a_call_has_its_slot_until_it_ends_however_it_ends() -> None:
    """A slot that is not given back is lost until the process ends."""
    served, in_use = Calls(), []

    async def fails(request: Any, context: Any) -> None:
        in_use.append(served.middleware.slots.in_use)
        raise CallFailed(Failure(reasons.ERROR_REASON_SALE_NOT_FOUND))

    async def has_a_bug(request: Any, context: Any) -> None:
        in_use.append(served.middleware.slots.in_use)
        raise KeyError("a bug")

    left = asyncio.ensure_future(served.outcome("Reserve", never))
    await eventually(lambda: served.middleware.slots.in_use == 1)

    assert await served.outcome("Reserve", fails) == "SALE_NOT_FOUND"
    assert await served.outcome("Reserve", has_a_bug) == "OUTCOME_UNKNOWN"
    assert await served.outcome("Reserve", done) == "done"
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)

    assert (in_use, served.middleware.slots.in_use) == ([2, 2], 0)
    assert served.meter.codes == ["NOT_FOUND", "UNAVAILABLE", "OK", "CANCELLED"]


async def test_a_caller_without_the_scope_hears_which_one_would_do() -> None:
    """The weakest of them; and a caller that has it goes on, before slots and everything else are looked at."""
    callers = iter([caller_with(), caller_with(AUDIT), caller_with(READ), caller_with(READ)])
    served = Calls(authenticate=lambda _context: next(callers))
    served.middleware.slots.in_use = SLOTS

    assert [await served.outcome("GetSale", done) for _ in range(2)] == ["SCOPE_MISSING"] * 2
    assert await served.outcome("GetSale", done) == "OVERLOADED"
    served.middleware.slots.in_use = 0
    assert await served.outcome("GetSale", done) == "done"
    assert [METHODS[name].weakest_scope for name in ("GetSale", "Reserve", "ListSales", "CreateSale")] == [
        *("inventory.read", "inventory.reserve", "inventory.audit", "inventory.admin")
    ]


async def test_a_log_names_who_called_and_not_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the subject and the token's own name, so that the caller can be asked."""
    log_everything(monkeypatch, middleware)

    async def has_a_bug(request: Any, context: Any) -> None:
        raise KeyError("a bug")

    with capture_logs() as logged:
        served = Calls(authenticate=lambda _context: caller_with(READ))
        assert await served.outcome("GetSale", has_a_bug) == "OUTCOME_UNKNOWN"
        assert await served.outcome("CreateSale", has_a_bug) == "SCOPE_MISSING"

    assert [(event["event"], event["log_level"], event["subject"], event["jti"]) for event in logged] == [
        ("unhandled_exception", "error", "ann", "t-1"),
        ("caller_refused", "debug", "ann", "t-1"),
    ]


def caller_with(*scopes: str) -> Caller:
    return Caller("acme", "ann", frozenset(scopes), "t-1")


@pytest.mark.parametrize(("method", "reason"), [("Reserve", "OUTCOME_UNKNOWN"), ("GetSale", "DEADLINE_TOO_SHORT")])
async def test_a_call_without_a_deadline_ends_after_its_limit(
    monkeypatch: pytest.MonkeyPatch, method: str, reason: str
) -> None:
    """A change may have been sent; a read has done nothing."""
    monkeypatch.setitem(methods.METHODS, method, METHODS[method]._replace(time_limit_s=0.01))
    served = Calls()

    assert await served.outcome(method, never) == reason
    assert await served.outcome(method, done) == "done"
    assert served.middleware.slots.in_use == 0


async def test_calls_end_in_the_order_in_which_they_began_and_those_with_a_deadline_are_left_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One timer serves all of a method's calls, and gRPC ends those whose callers set a deadline."""
    monkeypatch.setitem(methods.METHODS, "GetSale", METHODS["GetSale"]._replace(time_limit_s=0.02))
    served, ended = Calls(), list[str]()

    async def call(name: str, remaining_s: float | None) -> None:
        ended.append(f"{name} {await served.outcome('GetSale', never, remaining_s=remaining_s)}")

    dated = asyncio.ensure_future(call("dated", 60.0))
    await asyncio.gather(call("first", None), call("second", None))

    assert ended == ["first DEADLINE_TOO_SHORT", "second DEADLINE_TOO_SHORT"]
    assert not dated.done()
    dated.cancel()


async def test_a_stream_takes_no_slot_of_calls_and_ends_with_the_drain() -> None:
    """Ten thousand watches must not keep a buyer from reserving, and a deploy does not wait for their age."""
    served = Calls()

    async def watch(request: Any, context: Any) -> None:
        await served.middleware.draining.wait()
        raise CallFailed(Failure(reasons.ERROR_REASON_SERVER_DRAINING))

    watching = asyncio.ensure_future(served.outcome("WatchSale", watch))
    await eventually(lambda: served.middleware.streams.in_use == 1)

    assert served.middleware.slots.in_use == 0
    assert await served.middleware.drain(within_s=60.0)
    assert await watching == "SERVER_DRAINING"


async def test_streams_are_limited_too() -> None:
    """Each costs memory for as long as it lives."""
    served = Calls()
    served.middleware.streams.in_use = STREAMS

    assert await served.outcome("WatchSale", done) == "OVERLOADED"


async def test_a_drain_that_takes_too_long_says_so() -> None:
    """The calls that are left are ended with the server."""
    served = Calls()
    left = asyncio.ensure_future(served.outcome("Reserve", never))
    await eventually(lambda: served.middleware.in_flight == 1)

    assert not await served.middleware.drain(within_s=0.001)
    left.cancel()


@pytest.mark.parametrize("where", ["request", "line"])
async def test_an_unknown_field_fails_a_change_at_any_depth(where: str) -> None:
    """A call that changes something must not do less than its caller asked for."""
    line = Line(sku="lamp", quantity=1).SerializeToString() + (UNKNOWN if where == "line" else b"")
    sent = b"\x22" + bytes([len(line)]) + line + (UNKNOWN if where == "request" else b"")

    assert await Calls().outcome("Reserve", done, sent) == "UNKNOWN_FIELD"


async def test_a_read_ignores_unknown_fields() -> None:
    """It changes nothing, so it cannot do less than was asked for."""
    assert await Calls().outcome("GetSale", done, UNKNOWN) == "done"


class HeldBackStock:
    """A stock that answers a call once the test lets it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = asyncio.Event()

    async def reserve_many(self, _shard: int, requests: Sequence[Reserve]) -> Sequence[Reserve]:
        self.asked += [request.reservation_id for request in requests]
        await self.answers.wait()
        return requests


async def test_what_waits_in_the_queue_when_its_deadline_passes_is_not_sent() -> None:
    """gRPC cancels the call, and so its request; one that was sent goes on, for others may share its script call."""
    served, stock = Calls(), HeldBackStock()
    batcher = Batcher(stock, lambda sale: 0, lambda *_: None)  # type: ignore[arg-type]  # it is asked for many alone

    async def reserve(request: calls.ReserveRequest, context: Any) -> calls.ReserveResponse:
        await batcher.reserve(Reserve(SaleKey("default", "s"), request.reservation_id, "b", (), None))
        return calls.ReserveResponse()

    handler: Any = grpc.unary_unary_rpc_method_handler(reserve, calls.ReserveRequest.FromString)
    wrapped = served.middleware.wrap("a.Service", {"Reserve": handler})
    server = AcceptingServer({"/a.Service/Reserve": wrapped["Reserve"]}, ())
    port = server.bind("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.unary_unary("/a.Service/Reserve", calls.ReserveRequest.SerializeToString)
        sent = call(calls.ReserveRequest(reservation_id="sent"))
        await eventually(lambda: stock.asked == ["sent"])
        timeout_s = 0.02
        while "CANCELLED" not in served.meter.codes:  # on a busy machine it may not have come so far as to wait
            timeout_s *= 2
            with pytest.raises(grpc.aio.AioRpcError, match="Deadline Exceeded"):
                await call(calls.ReserveRequest(reservation_id="dropped"), timeout=timeout_s)
            await eventually(lambda: served.middleware.slots.in_use == 1)
        stock.answers.set()
        await sent
    await server.stop(None)

    assert (stock.asked, served.meter.codes[-1]) == (["sent"], "OK")
