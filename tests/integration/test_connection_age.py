"""Streams on connections that gRPC gives up for their age: each ends with a reason, and a client's goes on."""

from collections.abc import AsyncIterator, Callable, Sequence
from itertools import chain, repeat
from typing import Any

import grpc
import pytest
from holdfast.client import Client
from holdfast.errors import HoldfastError
from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest

from inventory_service.rpc import server
from inventory_service.rpc.stream_life import StreamLife
from inventory_service.wiring import serve
from tests.integration.reserve_streams import ReserveStream, busy
from tests.integration.test_watches import watch_reservation, watch_sale
from tests.inventory_server import Caller, calling, error_of, reserve_request, running_server

MANY = 10**6


def shorten(monkeypatch: pytest.MonkeyPatch, *, age_ms: int, lives_s: Sequence[float]) -> None:
    """The ages of connections and of streams, which have lives in the order in which they begin; the last one repeats.

    The age of a connection must be longer than streams take to begin, and be over long before the life of a stream is.
    """
    ages = {"grpc.max_connection_age_ms": age_ms, "grpc.max_connection_age_grace_ms": 20_000}
    monkeypatch.setattr(server, "OPTIONS", [(name, ages.get(name, value)) for name, value in server.OPTIONS])
    monkeypatch.setattr(serve, "StreamLife", lambda *events, **more: InOrder(lives_s, *events, **more))


class InOrder(StreamLife):
    """Each stream has a life of its own."""

    def __init__(self, lives_s: Sequence[float], *events: Any, **more: Any) -> None:
        super().__init__(*events, **more)
        self._lives_s = chain(lives_s, repeat(lives_s[-1]))

    async def over(self) -> None:
        self._shortest_s = self._longest_s = next(self._lives_s)
        await super().over()


async def test_streams_outlive_the_age_of_their_connection_and_end_with_a_reason(
    caller: Caller, valkey: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that begin late on it: gRPC would cut them without one, and their callers would know nothing."""
    shorten(monkeypatch, age_ms=4000, lives_s=(6.5, 6.5, 5.5))
    await caller.create_sale(units=MANY)
    await caller.reserve("first")
    async with running_server(valkey, database) as address, calling(address) as aged:
        watches = [watch_sale(aged), watch_reservation(aged, "first")]  # end later: so long the connection is open
        for watch in watches:
            await watch.read()
        stream = ReserveStream(aged)
        async with busy(stream):
            assert await stream.ended() == "SERVER_DRAINING"
        errors = [await error_of(_until_the_end(watch)) for watch in watches]

    assert {(error.code, error.reason) for error in errors} == {(grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING")}
    assert len(stream.granted()) == len(stream.answers) > 0


async def test_a_client_notices_neither_age(
    caller: Caller, valkey: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its watch is begun again, and its stream of requests has each answer once, over several connections."""
    shorten(monkeypatch, age_ms=300, lives_s=(1.2,))
    await caller.create_sale(units=MANY)
    answered: list[str] = []
    async with running_server(valkey, database) as address, Client(address, channels=2) as client:
        snapshots, held = 0, 0
        async with client.watch_sale("lamp-sale") as watch:
            requests = client.stream_reserve(_requests(lambda: snapshots < 3))
            async for request, answer in requests:
                assert not isinstance(answer, HoldfastError), answer
                answered.append(request.reservation_id)
                if len(answered) % 50 == 0 and snapshots < 3:
                    message = await anext(watch)
                    snapshots += message.snapshot
            while held < len(answered):
                held = (await anext(watch)).sale.items[0].held

    assert held == len(answered) == len(set(answered))


async def _requests(go_on: Callable[[], bool]) -> AsyncIterator[ReserveRequest]:
    number = 0
    while go_on():
        yield reserve_request(f"r-{number}")
        number += 1


async def _until_the_end(watch: Any) -> None:
    while await watch.read() is not grpc.aio.EOF:
        pass
