"""How the server and the other processes start: taken addresses, numbers that differ, servers that are down."""

import socket
import sys
from pathlib import Path

import grpc
import pytest

from inventory_service.domain.shards import RESIZING
from tests.integration.server_health import NOT_SERVING, health, is_serving, serving
from tests.inventory_server import (
    UNREACHABLE_DSN,
    call_error,
    calling,
    open_shards,
    run_process,
    running_server_process,
)
from tests.servers import StartBroker, StartValkey, connected
from tests.waiting import eventually


async def test_a_taken_address_is_named_in_one_line(valkey: str) -> None:
    """The line names the setting whose port is taken."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        for setting in ("HOLDFAST_LISTEN", "HOLDFAST_METRICS_LISTEN"):
            code, output = await run_process("serve", HOLDFAST_REDIS_URL=valkey, **{setting: taken})

            assert (code, output[-1].partition(": ")[0]) == (2, setting)
            assert taken in output[-1]
            assert not any("Traceback" in line for line in output)


async def test_a_second_server_does_not_share_a_port_unless_it_is_told_to(valkey: str, database: str) -> None:
    """It may be of another installation, and each would sell the stock of its own."""
    async with serving(valkey, database) as server:
        code, output = await run_process("serve", HOLDFAST_REDIS_URL=valkey, HOLDFAST_LISTEN=server.address)

        assert (code, output[-1].partition(": ")[0]) == (2, "HOLDFAST_LISTEN")
        assert f"process {server.process.pid} ({Path(sys.executable)} -m inventory_service serve)" in output[-1]
        assert "HOLDFAST_SHARE_PORT=1" in output[-1]
        settings = {"HOLDFAST_LISTEN": server.address, "HOLDFAST_SHARE_PORT": "1"}
        async with running_server_process(valkey, database, **settings) as other:
            assert other.address == server.address


@pytest.mark.parametrize(("process", "shards"), [("serve", "3"), ("relay", "1"), ("compensate", "3"), ("audit", "1")])
async def test_no_process_starts_for_another_number_of_shards(valkey: str, process: str, shards: str) -> None:
    """Each would read sales from the wrong shard, or skip half of them."""
    await open_shards(valkey, shards=2)

    code, output = await run_process(process, HOLDFAST_REDIS_URL=valkey, HOLDFAST_SHARDS=shards)

    assert code == 2
    assert f"HOLDFAST_SHARDS is {shards}, and Redis was initialized for 2: set it to 2; {RESIZING}" in output[-1]


async def test_no_process_starts_on_a_ledger_of_another_number_of_shards(database: str) -> None:
    """Redis may be blank or down: the ledger's number of shards is checked too."""
    async with connected(database) as db:
        await db.execute("""insert into shard_watermark
            (shard, shards, epoch, seq, hash, settled_epoch, settled_seq, facts_epoch, facts_seq)
            values (0, 4, 1, 0, '', 1, 0, 1, 0)""")

    stores = {"HOLDFAST_REDIS_URL": "redis://127.0.0.1:1/0", "HOLDFAST_POSTGRES_DSN": database}
    code, output = await run_process("serve", **stores)

    initialized = "HOLDFAST_SHARDS is 2, and the ledger was initialized for 4"
    assert (code, output[-1]) == (2, f"{initialized}: set it to 4; {RESIZING}")


async def test_no_relay_starts_on_topics_of_another_number_of_partitions(start_broker: StartBroker) -> None:
    """A shard beyond the last partition could send nothing, and one too few would mix the shards."""
    stores = {
        "HOLDFAST_REDIS_URL": "redis://127.0.0.1:1/0",
        "HOLDFAST_KAFKA_BROKERS": start_broker(partitions=3).address,
    }
    code, output = await run_process("relay", **stores)

    assert code == 2
    assert output[-1].startswith("HOLDFAST_SHARDS is 2, and holdfast.commits.v1 has 3 partitions: ")


async def test_a_server_starts_while_all_its_servers_are_down() -> None:
    """An outage is not a failure, and processes may start in any order."""
    async with (
        running_server_process("redis://127.0.0.1:1/0", UNREACHABLE_DSN) as server,
        calling(server.address) as caller,
    ):
        assert await health(caller) == NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await caller.reserve("r-1")
        server.terminate()

        assert call_error(refused.value).reason == "SHARD_NOT_SERVING"
        assert await server.ended() == 0


async def test_a_server_serves_once_redis_is_up(start_valkey: StartValkey) -> None:
    """It needs no restart."""
    valkey = start_valkey()
    await open_shards(valkey.address)
    valkey.stop()
    async with running_server_process(valkey.address, UNREACHABLE_DSN) as server, calling(server.address) as caller:
        valkey.start()
        await open_shards(valkey.address, epoch=2)

        await eventually(lambda: is_serving(caller))

        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await caller.reserve("r-1")
        assert call_error(refused.value).reason == "LEDGER_UNREACHABLE"  # Redis answered, and has no such sale


async def test_a_server_ends_if_redis_comes_up_with_another_number_of_shards(start_valkey: StartValkey) -> None:
    """No call may run in the wrong shard."""
    valkey = start_valkey()
    await open_shards(valkey.address, shards=4)
    valkey.stop()
    async with running_server_process(valkey.address, UNREACHABLE_DSN) as server:
        valkey.start()

        assert await server.ended() == 2
