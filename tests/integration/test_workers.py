"""Several server processes on one address: they sell as one, are drained as one, and are replaced when they die."""

import asyncio
import re
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial

import grpc
import psutil
import pytest
from holdfast.client import Client
from holdfast.inventory.v1.inventory_service_pb2 import GetSaleRequest
from holdfast.retry import RetryPolicy
from prometheus_client.parser import text_string_to_metric_families

from inventory_service.wiring.workers import RULES
from tests.integration.server_health import is_on_page, page_of, serving
from tests.inventory_server import (
    Caller,
    ServerProcess,
    call_error,
    calling,
    run_process,
    running_server,
    until_judged,
)
from tests.waiting import eventually

SALE, SKU = "lamp-sale", "lamp"
CONNECTIONS = 24  # so many that each worker gets some
BUYERS = 4  # on each of them, so that calls wait inside gRPC
PATIENT = RetryPolicy(overall_s=60.0, attempt_s=5.0, repeats_per_s=1000)
RESERVED = r'holdfast_rpc_calls_total{code="OK",method="Reserve",service="[\w.]+"} ([\d.]+)'


@pytest.fixture
async def server(valkey: str, database: str) -> AsyncIterator[ServerProcess]:
    """A server of two workers."""
    async with serving(valkey, database, HOLDFAST_WORKERS="2") as server:
        yield server


def workers_of(server: ServerProcess) -> Sequence[psutil.Process]:
    return psutil.Process(server.process.pid).children()


def connections_of(worker: psutil.Process, address: str) -> int:
    """How many connections callers have to it."""
    port = int(address.rpartition(":")[2])
    found = worker.net_connections("tcp")
    return sum(one.laddr.port == port and one.status == psutil.CONN_ESTABLISHED for one in found)


async def counted(server: ServerProcess) -> float:
    """How many Reserve calls its page counts."""
    found = re.search(RESERVED, await page_of(server))
    return float(found[1]) if found else 0.0


async def test_two_workers_sell_out_a_sale_together_and_count_their_calls_on_one_page(server: ServerProcess) -> None:
    """Each unit once, whichever worker a buyer reaches; and no call is missing from the sums."""
    async with AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(calling(server.address)) for _ in range(CONNECTIONS)]
        await callers[0].create_sale(SALE, units=60)

        answers = await asyncio.gather(
            *(
                until_judged(partial(caller.reserve, f"r-{at}-{number}"))
                for at, caller in enumerate(callers)
                for number in range(5)
            )
        )

        assert sum(answer.HasField("reservation") for answer in answers) == 60
        assert all(connections_of(worker, server.address) for worker in workers_of(server))
    assert len(answers) == await counted(server) == CONNECTIONS * 5
    page = await page_of(server)
    assert "holdfast_workers 2.0" in page
    assert 'holdfast_reserve_outcomes_total{outcome="granted"} 60.0' in page
    assert f'holdfast_reserve_outcomes_total{{outcome="sold_out"}} {CONNECTIONS * 5 - 60}.0' in page


async def test_the_page_of_all_workers_has_each_gauge_as_a_rule_says(server: ServerProcess) -> None:
    """Without one it would have a sample for each worker, whatever it means. The checks of servers are there too."""
    await eventually(lambda: is_on_page(server, "\nholdfast_server_check_ok"))
    families = list(text_string_to_metric_families(await page_of(server)))
    own_gauges = {family.name for family in families if family.type == "gauge" and family.name.startswith("holdfast_")}

    assert "holdfast_server_check_ok" in own_gauges
    assert own_gauges <= RULES.keys()


async def test_a_worker_that_is_killed_loses_nothing_and_is_replaced(server: ServerProcess) -> None:
    """Its callers repeat what it had not answered at the other one; and what it had counted stays counted."""
    buyers, each, acknowledged = 20, 15, asyncio.Semaphore(0)
    victim = workers_of(server)[0]

    async with Client(server.address, channels=CONNECTIONS, retry=PATIENT) as client:
        await client.create_sale(SALE, {SKU: 1000})

        async def buy(buyer: int) -> None:
            for number in range(each):
                answer = await client.reserve(SALE, f"r-{buyer}-{number}", f"buyer-{buyer}-{number}", {SKU: 1})
                assert answer.HasField("reservation")
                acknowledged.release()

        async with asyncio.TaskGroup() as group:
            for buyer in range(buyers):
                group.create_task(buy(buyer))
            for _ in range(buyers * 2):
                await acknowledged.acquire()
            before = await counted(server)
            victim.kill()

        (item,) = (await client.get_sale(SALE)).sale.items
        assert item.held == buyers * each
        assert 0 < before <= await counted(server)

    async def is_replaced() -> bool:
        page = await page_of(server)
        return "holdfast_workers 2.0" in page and "holdfast_worker_restarts_total 1.0" in page

    await eventually(is_replaced)
    assert victim.pid not in [worker.pid for worker in workers_of(server)]


def interrupt(server: ServerProcess) -> None:
    """As Ctrl-C does, once the terminal's processes have got it."""
    server.process.send_signal(signal.SIGINT)


def terminate_all(server: ServerProcess) -> None:
    """As a process manager that knows every process of a service."""
    for worker in workers_of(server):
        worker.terminate()
    server.process.terminate()


@pytest.mark.parametrize("end", [interrupt, terminate_all])
async def test_a_drain_loses_no_call(
    server: ServerProcess, valkey: str, database: str, end: Callable[[ServerProcess], None]
) -> None:
    """Each is answered, or refused with the reason, or gRPC has found no connection to send it on."""
    answered = 0

    async def buy(caller: Caller, at: int) -> grpc.aio.AioRpcError:
        nonlocal answered
        for number in range(100_000):
            try:
                await until_judged(partial(caller.reserve, f"r-{at}-{number}"))
            except grpc.aio.AioRpcError as error:
                return error
            answered += 1
        raise AssertionError("the server did not end")

    async with AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(calling(server.address)) for _ in range(CONNECTIONS)]
        await callers[0].create_sale(SALE, units=1_000_000)
        buying = [asyncio.create_task(buy(caller, at)) for at, caller in enumerate(callers * BUYERS)]
        await eventually(lambda: answered > CONNECTIONS * BUYERS * 2)

        end(server)

        assert await server.ended() == 0
        errors = await asyncio.gather(*buying)
    refused = [error for error in errors if "failed to connect" not in str(error.details())]
    assert {error.code() for error in errors} == {grpc.StatusCode.UNAVAILABLE}
    assert {call_error(error).reason for error in refused} == {"SERVER_DRAINING"}
    async with running_server(valkey, database) as other, calling(other) as caller:
        (item,) = (await caller.stock.GetSale(GetSaleRequest(sale_id=SALE))).sale.items
    assert item.held == answered


async def test_no_worker_outlives_its_supervisor(server: ServerProcess) -> None:
    """Even if that is killed: the address is free for the next one."""
    workers = workers_of(server)

    server.process.kill()

    await eventually(lambda: not any(worker.is_running() for worker in workers))
    host, _, port = server.address.rpartition(":")
    with socket.create_server((host, int(port))):
        pass


@pytest.mark.parametrize("setting", ["HOLDFAST_LISTEN", "HOLDFAST_METRICS_LISTEN", "HOLDFAST_TLS_CERT_FILE"])
async def test_what_no_worker_could_start_with_is_told_once(valkey: str, setting: str) -> None:
    """Before any of them is started."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        changed = {setting: taken} if "LISTEN" in setting else {setting: __file__, "HOLDFAST_TLS_KEY_FILE": __file__}

        code, output = await run_process("serve", "--workers", "3", HOLDFAST_REDIS_URL=valkey, **changed)

    assert code == 2
    assert [line for line in output if "[info" not in line] == output[-1:]
    assert output[-1].startswith(f"{setting}: ")
