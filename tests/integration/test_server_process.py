"""The server as a process: health, reflection, metrics and shutdown."""

import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import Line
from redis.asyncio import Redis

from inventory_service.adapters.ledger.archive import QUESTION_S
from inventory_service.domain.keys import SaleKey, shard_of
from tests.integration.server_health import NOT_SERVING, SERVING, health, is_on_page, is_serving, page_of, serving
from tests.inventory_server import (
    SHARDS,
    UNREACHABLE_DSN,
    Caller,
    CallError,
    ServerProcess,
    call_error,
    calling,
    error_of,
    open_shards,
    reserve_request,
    running_server_process,
)
from tests.servers import StartValkey, connected
from tests.waiting import eventually

CallsReflection: Any = ServerReflectionStub
SHARD = shard_of(SaleKey("default", "lamp-sale"), SHARDS)
META = f"holdfast:{{{SHARD}}}:meta"
LOST = f'holdfast_acknowledged_and_lost_commits_total{{shard="{SHARD}"}}'
SERVICES = ("holdfast.inventory.v1.InventoryService", "holdfast.inventory.v1.InventoryAdminService")


@pytest.fixture
async def server(valkey: str, database: str) -> AsyncIterator[ServerProcess]:
    """A server process with open shards."""
    async with serving(valkey, database) as server:
        yield server


@asynccontextmanager
async def in_flight(caller: Caller, dsn: str) -> AsyncIterator[Any]:
    """A Reserve for a sale that Redis does not have; it waits for the ledger while the block locks its table."""
    async with connected(dsn) as ledger, ledger.transaction():
        await ledger.execute("lock table sale")
        call = caller.stock.Reserve(reserve_request("r-1", sale_id="no-sale"))
        await eventually(lambda: ledger.fetchval("select count(*) from pg_locks where not granted"))
        yield call


async def test_health_is_reported_overall_and_by_service(server: ServerProcess) -> None:
    """Load balancers use either."""
    async with calling(server.address) as caller:
        assert [await health(caller, name) for name in ("", "liveness", *SERVICES)] == [SERVING] * 4
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await health(caller, "no.such.Service")

    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
    server.process.send_signal(signal.SIGINT)
    assert await server.ended() == 0


async def test_readiness_follows_the_store_and_liveness_does_not(start_valkey: StartValkey) -> None:
    """A server without Redis gets no traffic, and is not restarted for it either."""
    valkey = start_valkey()
    await open_shards(valkey.address)
    async with running_server_process(valkey.address, UNREACHABLE_DSN) as server, calling(server.address) as caller:
        valkey.stop()

        async def is_unavailable() -> bool:
            return await health(caller) == NOT_SERVING and await health(caller, SERVICES[0]) == NOT_SERVING

        await eventually(is_unavailable)
        assert await health(caller, "liveness") == SERVING
        assert 'holdfast_retries_total{server="redis"}' in await page_of(server)
        valkey.start()
        await open_shards(valkey.address, epoch=2)
        await eventually(lambda: is_serving(caller))


async def test_a_server_without_an_open_shard_gets_no_traffic(start_valkey: StartValkey) -> None:
    """Before `init`, and while its Redis is another one than the shards were opened for, it can serve no call."""
    valkey = start_valkey()
    async with running_server_process(valkey.address, UNREACHABLE_DSN) as server, calling(server.address) as caller:
        assert await health(caller) == NOT_SERVING
        await open_shards(valkey.address)
        await eventually(lambda: is_serving(caller))
        async with Redis.from_url(valkey.address) as admin:
            await admin.replicaof("127.0.0.1", 1)
            await eventually(lambda: is_not_serving(caller))
            await admin.replicaof("NO", "ONE")
        await open_shards(valkey.address, epoch=2)

        await eventually(lambda: is_serving(caller))


async def test_a_running_server_waits_while_its_password_is_wrong(start_valkey: StartValkey) -> None:
    """At the start a wrong password ends the server; later it only stops serving until the password is right."""
    valkey = start_valkey()
    await open_shards(valkey.address)
    async with running_server_process(valkey.address, UNREACHABLE_DSN) as server, calling(server.address) as caller:
        async with Redis.from_url(valkey.address) as admin:
            await admin.config_set("requirepass", "another")
            await admin.client_kill_filter(_type="normal", skipme=True)

            await eventually(lambda: is_not_serving(caller))
            await admin.config_set("requirepass", "")

        await eventually(lambda: is_serving(caller))


async def is_not_serving(caller: Caller) -> bool:
    return await health(caller) == NOT_SERVING


async def test_reflection_names_the_services(server: ServerProcess) -> None:
    """With them grpcurl needs no protos."""
    async with calling(server.address) as caller:
        asked = iter([ServerReflectionRequest(list_services="")])
        answer = await CallsReflection(caller.channel).ServerReflectionInfo(asked).read()

    assert set(SERVICES) < {service.name for service in answer.list_services_response.service}


async def test_the_metrics_page_counts_calls_batches_outcomes_and_lost_commits(
    server: ServerProcess, valkey: str
) -> None:
    """By method and code, and by outcome; the last ones once a take-over has not found what a caller was told of."""
    two = [Line(sku="lamp", quantity=2)]
    change = calls.ChangeReservationRequest(sale_id="lamp-sale", reservation_id="r-1", lines=two)
    async with calling(server.address) as caller, Redis.from_url(valkey) as redis:
        await caller.create_sale(units=1)
        await caller.reserve("r-1")
        await caller.reserve("r-2")
        await caller.stock.ChangeReservation(change)
        page = await page_of(server)
        await redis.hset(META, mapping={"epoch": 2, "seq": 0, "base_epoch": 1, "base_seq": 1})
        await caller.reserve("r-3")

    service = 'service="holdfast.inventory.v1.InventoryService"'
    assert f'holdfast_rpc_calls_total{{code="OK",method="Reserve",{service}}} 2.0' in page
    assert 'holdfast_reserve_outcomes_total{outcome="granted"} 1.0' in page
    assert 'holdfast_reserve_outcomes_total{outcome="sold_out"} 1.0' in page
    assert 'holdfast_change_outcomes_total{outcome="sold_out"} 1.0' in page
    for kind in ("reserve", "change_hold", "create_sale"):
        assert f'holdfast_script_duration_seconds_count{{kind="{kind}"}}' in page
    assert f"{LOST} 0.0" in page
    await eventually(lambda: is_on_page(server, f"{LOST} 1.0"))


async def test_calls_in_flight_are_finished_and_new_ones_rejected(valkey: str, database: str) -> None:
    """A deploy must not lose the response of a call in flight; what its caller does next goes to another server."""
    async with serving(valkey, database, HOLDFAST_DRAIN_S="60") as server, calling(server.address) as caller:
        await caller.create_sale()
        async with in_flight(caller, database) as under_way:
            server.terminate()
            error = await first_error(caller)
            with pytest.raises(grpc.aio.AioRpcError, match="failed to connect") as next_error:
                await caller.reserve("r-2")

        assert (await error_of(under_way)).reason in ("SALE_NOT_FOUND", "LEDGER_UNREACHABLE")  # which waits for 5 s
        assert (error.code, error.reason, error.retries) == (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING", True)
        assert next_error.value.code() is grpc.StatusCode.UNAVAILABLE
        assert await server.ended() == 0


async def first_error(caller: Caller) -> CallError:
    """Reserve the same again and again until the server refuses it."""
    while True:
        try:
            await caller.reserve("r-1")
        except grpc.aio.AioRpcError as error:
            return call_error(error)


async def is_draining(caller: Caller) -> bool:
    """It says so, or listens no more."""
    try:
        return await health(caller) == NOT_SERVING
    except grpc.aio.AioRpcError as error:
        return error.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_second_signal_does_not_wait(valkey: str, database: str, workers: str) -> None:
    """A second SIGTERM ends the drain."""
    settings = {"HOLDFAST_DRAIN_S": "60", "HOLDFAST_WORKERS": workers}
    async with stuck(valkey, database, **settings) as (server, caller, under_way, began):
        server.terminate()
        await eventually(lambda: is_draining(caller))
        server.terminate()

        assert await server.ended() == 0
        assert await was_cut(under_way, began)


async def test_a_drain_ends_after_its_limit(valkey: str, database: str) -> None:
    """A store that hangs must not block a deploy."""
    async with stuck(valkey, database, HOLDFAST_DRAIN_S="0.2") as (server, _, under_way, began):
        server.terminate()

        assert await server.ended() == 0
        assert await was_cut(under_way, began)


@asynccontextmanager
async def stuck(valkey: str, dsn: str, **settings: str) -> AsyncIterator[tuple[ServerProcess, Caller, Any, float]]:
    """A server with a call that it does not answer before the ledger's time is over, and the moment before it."""
    async with serving(valkey, dsn, **settings) as server, calling(server.address) as caller:
        began = time.monotonic()
        async with in_flight(caller, dsn) as under_way:
            yield server, caller, under_way, began


async def was_cut(call: Any, began: float) -> bool:
    """Whether a call ended without an answer; on a slow machine it may have been answered before."""
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await call
    is_answered = "grpc-status-details-bin" in dict(ended.value.trailing_metadata() or ())
    return not is_answered or time.monotonic() - began > QUESTION_S
