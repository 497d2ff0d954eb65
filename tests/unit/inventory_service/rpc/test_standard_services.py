"""Calls of health and reflection are bounded, and fail as every other call does."""

import asyncio
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest

from inventory_service.rpc.standard_services import MOST_BYTES, guarded
from tests.unit.inventory_service.rpc.wrapped_calls import Aborted, FakeContext
from tests.waiting import eventually


async def outcome(call: Any, sent: bytes) -> str:
    """The reason that a watch failed with, or "done"."""
    context = FakeContext(None)
    try:
        await call.unary_stream(call.request_deserializer(sent), context)
    except Aborted:
        return context.reason
    return "done"


async def test_more_than_so_many_streams_are_overloaded() -> None:
    """Those that are open go on, and one that ends makes room."""
    may_end, watched = asyncio.Event(), 0

    async def watch(_request: Any, _context: Any) -> None:
        nonlocal watched
        watched += 1
        await may_end.wait()

    call = guarded(grpc.unary_stream_rpc_method_handler(watch, HealthCheckRequest.FromString), most=2)
    open_ones = [asyncio.create_task(outcome(call, b"")) for _ in range(2)]
    await eventually(lambda: watched == 2)

    assert await outcome(call, b"") == "OVERLOADED"
    may_end.set()
    assert [await one for one in open_ones] == ["done", "done"]
    assert await outcome(call, b"") == "done"


async def test_a_large_request_is_unreadable() -> None:
    """A stream that is open keeps it."""

    async def watch(_request: Any, _context: Any) -> None: ...

    call = guarded(grpc.unary_stream_rpc_method_handler(watch, HealthCheckRequest.FromString))

    assert await outcome(call, HealthCheckRequest(service="a" * 200).SerializeToString()) == "done"
    assert await outcome(call, HealthCheckRequest(service="a" * MOST_BYTES).SerializeToString()) == "UNREADABLE"


async def test_bytes_that_are_no_request_are_unreadable() -> None:
    """Alone, and within a stream of requests."""

    async def answer(request: Any, _context: Any) -> None:
        async for _ in request:
            raise AssertionError("no request can be read")

    async def sent_as(raw: Any) -> Any:
        yield raw

    alone = guarded(grpc.unary_stream_rpc_method_handler(answer, HealthCheckRequest.FromString))
    stream: Any = guarded(grpc.stream_stream_rpc_method_handler(answer, HealthCheckRequest.FromString))
    context = FakeContext(None)
    try:
        await stream.stream_stream(sent_as(stream.request_deserializer(b"\xff\xff")), context)
    except Aborted:
        assert context.reason == "UNREADABLE"

    assert context.reason == "UNREADABLE"
    assert await outcome(alone, b"\xff\xff") == "UNREADABLE"
