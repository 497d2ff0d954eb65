"""A Redis address that leads to a replica: commands end with one line, and processes wait for its promotion."""

import asyncio
import urllib.error
import urllib.request

import pytest
from holdfast_embedded.valkey import Valkey
from redis.asyncio import Redis

from tests.inventory_server import ServerProcess, run_process, running_server_process
from tests.servers import StartValkey
from tests.shared_kafka import Kafka
from tests.waiting import eventually


@pytest.fixture
async def replica(start_valkey: StartValkey) -> Valkey:
    """A replica whose primary is away, so that it is one for good."""
    server = start_valkey()
    async with Redis.from_url(server.address) as client:
        await client.replicaof("127.0.0.1", "1")
    return server


async def test_a_replica_ends_a_start_with_one_line(replica: Valkey, database: str, kafka: Kafka) -> None:
    """It takes no write, and its data may be old; the line names its primary.

    All at once, for each waits for the promotion in full, and so long that the replica has the time to answer.
    """
    settings = {"HOLDFAST_REDIS_URL": replica.address, "HOLDFAST_POSTGRES_DSN": database, **kafka.settings}
    commands = ("init", "audit", "restore", "serve", "relay", "compensate")

    ended = await asyncio.gather(*(run_process(each, HOLDFAST_START_WAIT_S="5", **settings) for each in commands))

    for command, (code, output) in zip(commands, ended, strict=True):
        assert (code, len(output)) == (2, 1), (command, output)
        assert output[0].startswith("HOLDFAST_REDIS_URL: "), command
        assert "cannot be used: it is a replica of 127.0.0.1:1 " in output[0], command


@pytest.mark.parametrize("command", ["init", "audit", "restore"])
async def test_a_command_that_need_not_wait_says_the_same(
    replica: Valkey, database: str, kafka: Kafka, command: str
) -> None:
    """HOLDFAST_START_WAIT_S=0 is for processes that are started during an outage."""
    settings = {"HOLDFAST_REDIS_URL": replica.address, "HOLDFAST_POSTGRES_DSN": database, **kafka.settings}

    code, output = await run_process(command, HOLDFAST_START_WAIT_S="0", **settings)

    assert code == 2
    assert any("it is a replica of 127.0.0.1:1 " in line for line in output)


async def test_a_server_waits_for_the_promotion_and_says_so(replica: Valkey, database: str) -> None:
    """After a failover the address may lead to the old primary for a while."""
    async with running_server_process(replica.address, database) as server:
        await eventually(lambda: "it is a replica of 127.0.0.1:1" in healthz(server))

        async with Redis.from_url(replica.address) as client:
            await client.replicaof("NO", "ONE")

        await eventually(lambda: "replica" not in healthz(server))


def healthz(server: ServerProcess) -> str:
    """What the server waits for."""
    try:
        with urllib.request.urlopen(server.metrics_url.replace("/metrics", "/healthz")) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()
