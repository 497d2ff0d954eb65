"""Server objects that no path ends, and whose failures are noticed."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest
from grpc.aio import AioRpcError
from holdfast.testing.clock import Clock
from holdfast.testing.construction import build
from holdfast.testing.failures import Failures

from inventory_service.rpc.accepting import AcceptingServer
from tests.http2_frames import START, call_headers, whole_call
from tests.unit.simulated_time import simulate_time
from tests.waiting import LONG_S, eventually

HEADERS = (("x-request-id", "4711"),)
CALLS = 100


async def request_id(_request: bytes, context: Any) -> bytes:
    """The method of the server: it answers with a header of its call."""
    return str(dict(context.invocation_metadata())["x-request-id"]).encode()


@asynccontextmanager
async def serving(kind: type[AcceptingServer] = AcceptingServer) -> AsyncIterator[tuple[AcceptingServer, int]]:
    """A server object with one method, and its port."""
    server = kind({"/a.Service/RequestId": grpc.unary_unary_rpc_method_handler(request_id)}, ())
    port = server.bind("127.0.0.1:0")
    await server.start()
    try:
        yield server, port
    finally:
        await server.stop(None)


async def ask(port: int, path: str = "/a.Service/RequestId") -> bytes:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.unary_unary(path)
        return bytes(await call(b"", metadata=HEADERS, timeout=LONG_S))


async def test_a_call_finds_its_method_and_its_headers() -> None:
    """One of another method is UNIMPLEMENTED, as of any gRPC server."""
    async with serving() as (_, port):
        assert await ask(port) == b"4711"
        with pytest.raises(AioRpcError, match="UNIMPLEMENTED"):
            await ask(port, "/a.Service/Other")
        assert await ask(port) == b"4711"


async def test_no_path_ends_it() -> None:
    """It answers a call whose path is not UTF-8 as one of a method that it has not, and the next call too."""
    async with serving() as (server, port):
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(START + whole_call(call_headers(b"/a.Service/\xff\xfe")))
            answer = b""
            async with asyncio.timeout(LONG_S):
                while b"Method not found" not in answer and b"grpc-status" not in answer:
                    answer += await reader.read(1000)
            writer.transport.abort()

        assert await ask(port) == b"4711"
        server.raise_if_failed()


async def test_its_calls_leave_no_reference_cycles() -> None:
    """The collector would stop every call under way while it drops those of thousands of calls."""
    async with serving() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with collector_off():
            headers = call_headers(b"/a.Service/RequestId", (b"x-request-id", b"4711"))
            writer.write(START + b"".join(whole_call(headers, stream=2 * number + 1) for number in range(CALLS)))
            answers = b""
            async with asyncio.timeout(LONG_S):
                while answers.count(b"4711") < CALLS:
                    answers += await reader.read(10_000)
            assert gc.collect() < CALLS
        writer.transport.abort()


@contextmanager
def collector_off() -> Iterator[None]:
    """Nothing is collected inside the block, and no garbage is there at its beginning."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Broken(AcceptingServer):
    """Its method's calls cannot be accepted."""

    async def _request_registered_call(self, _method: bytes) -> Any:
        raise OSError("broken")


async def test_a_loop_that_has_ended_is_noticed() -> None:
    """Its calls would wait for ever; the process is to end instead."""
    async with serving(Broken) as (server, _):
        await eventually(lambda: server._failure)
        with pytest.raises(OSError, match="broken"):
            server.raise_if_failed()


class WhollyBroken(Broken):
    """Nor can calls of any other method."""

    async def _request_call(self) -> Any:
        raise OSError("broken")


async def test_a_server_stops_although_all_of_its_loops_have_ended() -> None:
    """Or the process that is to be replaced would not end."""
    async with serving(WhollyBroken) as (server, _):
        await eventually(lambda: server._failure)

        await asyncio.wait_for(server.stop(None), LONG_S)


async def test_a_server_has_stopped_only_when_all_of_its_loops_have_ended() -> None:
    """Another event loop of this thread would be told of their ends later, which fails and is logged."""
    async with serving() as (server, port):
        assert await ask(port) == b"4711"
        await server.stop(None)

        assert len(server._loops) == 2
        assert all(loop.done() for loop in server._loops)


class Ended:
    """A server object of which a loop has ended."""

    def raise_if_failed(self) -> None:
        raise OSError("broken")


async def test_a_server_ends_with_what_has_ended_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """So its process does, and whatever supervises it starts another."""
    server: Any = build(Clock(None), Failures(), lambda _name, _request: None, 1, timedelta(days=1)).server
    server._servers = [Ended()]
    simulate_time(monkeypatch)

    with pytest.raises(OSError, match="broken"):
        await asyncio.wait_for(server.watch(), LONG_S)
