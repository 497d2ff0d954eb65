"""The start of the persister: servers that it waits for, settings that it rejects in one line, and no files."""

import socket
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from bench.commits import FakeShard
from holdfast_runtime.kafka import COMMITS
from order_persister.adapters.ledger.migrator import migrate
from order_persister.domain.shards import RESIZING
from tests.ledgers import open_shards
from tests.persister_process import StartPersister
from tests.servers import StartBroker, StartPostgres, connected
from tests.shared_kafka import Kafka
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(180)

CLOSED_PORT = "127.0.0.1:1"
NO_LEDGER = f"postgresql://ann:secret@{CLOSED_PORT}/holdfast"
JOIN_S = 45.0


async def test_the_persister_waits_for_its_servers_at_the_start(
    start_broker: StartBroker, start_postgres: StartPostgres, start_persister: StartPersister
) -> None:
    """Processes of a deploy start in any order."""
    server, broker, shard = start_postgres(), start_broker(), FakeShard(shard=5)
    shard.open_sale(lamp=1)
    await migrate(server.address)
    async with connected(server.address) as db:
        await open_shards(db, [5])
    server.stop()
    broker.down()

    persister = start_persister(broker.address, server.address)
    await eventually(lambda: persister.has_logged("server_unavailable", server="Postgres"), JOIN_S)
    server.start()
    await eventually(lambda: persister.has_logged("server_unavailable", server="Kafka"), JOIN_S)
    broker.up()

    producer = AIOKafkaProducer(bootstrap_servers=broker.address)
    await producer.start()
    await producer.send_and_wait(COMMITS, shard.run(), partition=5)
    async with connected(server.address) as db:
        await eventually(lambda: db.fetchval("select facts_seq from shard_watermark"), JOIN_S)
    await producer.stop()


async def test_a_broker_that_goes_while_the_persister_joins_its_group_ends_nothing(
    start_broker: StartBroker, database: str, start_persister: StartPersister
) -> None:
    """Faust ends if its first connection is refused, and waits for a broker that goes a moment later."""
    broker = start_broker()
    persister = start_persister(broker.address, database)
    await eventually(lambda: persister.has_logged("joining_group"), JOIN_S)

    broker.down()
    await eventually(lambda: any("onnect" in line for line in persister.lines()), JOIN_S)
    broker.up()

    await eventually(lambda: persister.has_logged("persisting"), JOIN_S)
    assert persister.process.poll() is None


async def test_another_number_of_shards_than_the_ledgers_ends_it(
    database: str, start_persister: StartPersister
) -> None:
    """The number of shards never changes; with another one, facts would go to wrong partitions."""
    async with connected(database) as db:
        await open_shards(db, [5])

    persister = start_persister(CLOSED_PORT, database, HOLDFAST_SHARDS="8")

    assert persister.exit_code() == 2
    assert persister.lines() == [
        f"HOLDFAST_SHARDS is 8, and the ledger was initialized for 16: set it to 16; {RESIZING}"
    ]


async def test_another_number_of_partitions_than_shards_ends_it(
    start_broker: StartBroker, database: str, start_persister: StartPersister
) -> None:
    """A shard is a partition; before `holdfast init` only Kafka has the number of shards."""
    persister = start_persister(start_broker(partitions=4).address, database)

    assert persister.exit_code() == 2
    [line] = persister.lines()
    assert line.startswith("HOLDFAST_SHARDS is 16, and holdfast.commits.v1 has 4 partitions: ")


def test_an_invalid_setting_ends_it_at_once(start_persister: StartPersister) -> None:
    """One line with the setting and the reason."""
    persister = start_persister("127.0.0.1:99999", NO_LEDGER)

    assert persister.exit_code() == 2
    assert persister.lines() == ["HOLDFAST_KAFKA_BROKERS: must be host:port with a port from 0 to 65535"]


async def test_it_writes_no_files(kafka: Kafka, database: str, start_persister: StartPersister, tmp_path: Path) -> None:
    """It keeps nothing but rows and records, so it starts in a directory that it may not write to."""
    closed, temporary = tmp_path / "closed", tmp_path / "temporary"
    closed.mkdir(mode=0o555)
    temporary.mkdir()

    persister = start_persister(kafka, database, cwd=closed, TMPDIR=str(temporary))

    await eventually(lambda: persister.has_logged("persisting"), JOIN_S)
    assert list(closed.iterdir()) == list(temporary.iterdir()) == []


def test_migrate_without_postgres_says_what_to_do(start_persister: StartPersister) -> None:
    """It is run by hand: it does not wait, and prints one line."""
    persister = start_persister(CLOSED_PORT, NO_LEDGER, command="migrate")

    assert persister.exit_code() == 2
    [line] = persister.lines()
    assert line.startswith("Postgres cannot be used: ")
    assert "secret" not in line
    assert line.endswith("; start it, or set HOLDFAST_POSTGRES_DSN")


def test_a_metrics_address_that_is_taken_ends_it_at_once(start_persister: StartPersister) -> None:
    """One line that names the setting, without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        persister = start_persister(CLOSED_PORT, NO_LEDGER, HOLDFAST_METRICS_LISTEN=address)

        assert persister.exit_code() == 2
        [line] = persister.lines()
        assert line.startswith(f"HOLDFAST_METRICS_LISTEN: cannot listen on {address}: ")
