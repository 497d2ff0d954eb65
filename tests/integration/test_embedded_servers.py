"""Each embedded server starts, keeps its data across crashes, and changes nothing outside its folder."""

import os
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from holdfast_embedded import postgres_identity
from holdfast_embedded import server as embedded_server
from holdfast_embedded.broker import TOPICS
from holdfast_embedded.postgres import Postgres
from holdfast_embedded.postgres_identity import CannotRunPostgres, can_run, wheel_bin_dir
from holdfast_embedded.server import KafkaServer, ServerFailed
from holdfast_embedded.valkey import Valkey
from redis.asyncio import Redis

from tests.servers import StartBroker, StartPostgres, StartValkey, connected

COMMITS = TOPICS[0]


async def test_valkey_writes_to_disk_before_it_answers(start_valkey: StartValkey) -> None:
    """Promise 2 needs these settings: with Redis' own defaults a crash loses acknowledged writes."""
    server = start_valkey()

    async with Redis.from_url(server.address, decode_responses=True) as client:
        settings = await client.config_get("append*", "maxmemory-policy")

    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "always"
    assert settings["maxmemory-policy"] == "noeviction"


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_valkey_keeps_its_data_and_port(start_valkey: StartValkey, end: str) -> None:
    """Neither an orderly stop nor a crash loses a write; clients detect the restart by the run id."""
    server = start_valkey()
    address, first_run = server.address, await run_id(server)
    async with Redis.from_url(address) as client:
        await client.set("kept", "yes")

    getattr(server, end)()
    server.start()

    async with Redis.from_url(address) as client:
        assert await client.get("kept") == b"yes"
    assert await run_id(server) != first_run


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_postgres_keeps_its_data_and_port(start_postgres: StartPostgres, end: str) -> None:
    """Neither an orderly stop nor a crash loses a committed row."""
    server = start_postgres()
    async with connected(server.address) as connection:
        await connection.execute("create table kept as select 1 as one")

        getattr(server, end)()
    server.start()

    async with connected(server.address) as connection:
        assert await connection.fetchval("select one from kept") == 1


async def test_postgres_changes_no_permission_above_its_data(tmp_path: Path) -> None:
    """The wheel's own helper opens every parent folder to all users; a private home stays private here."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    server = Postgres(private / "postgres")
    watched = [*server.data_dir.parents, *server.run_as.bin_dir.parents]
    before = modes(watched)

    server.start()
    server.stop()

    assert modes(watched) == before
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_postgres_runs_as_another_user_where_user_namespaces_are_disabled(
    monkeypatch: pytest.MonkeyPatch, reachable: Path
) -> None:
    """Not every kernel lets root create one; a copy of the programs then runs without root's rights."""
    disable_user_namespaces(monkeypatch)
    server = Postgres(reachable / "postgres")
    wheel_before = modes([wheel_bin_dir()])

    server.start()

    async with connected(server.address) as connection:
        assert await connection.fetchval("select 1") == 1
    assert psutil.Process(server.pid).uids().real != 0
    server.stop()
    assert modes([wheel_bin_dir()]) == wheel_before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_postgres_explains_what_to_do_where_it_cannot_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No permission is changed to make it run; the user decides."""
    disable_user_namespaces(monkeypatch)
    private = tmp_path / "private"
    private.mkdir(mode=0o700)

    with pytest.raises(CannotRunPostgres, match=r"cannot reach .*--data-dir.*HOLDFAST_POSTGRES_DSN"):
        Postgres(private / "postgres").start()

    assert modes([private]) == {private: 0o700}


async def test_postgres_starts_no_unfinished_cluster(tmp_path: Path) -> None:
    """A crash during initdb leaves only what the next start deletes."""
    unfinished = tmp_path / "cluster.new"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")

    server = Postgres(tmp_path)
    server.start()

    async with connected(server.address) as connection:
        assert await connection.fetchval("select current_database()") == "holdfast"
    server.stop()


async def test_the_broker_has_every_topic_with_a_partition_a_shard(start_broker: StartBroker) -> None:
    """A record is read from the partition that it was sent to, up to the highest."""
    server = start_broker(partitions=16)

    await send(server, partition=15, value=b"first")

    assert await read(server, partition=15) == [(0, b"first")]
    assert await read(server, partition=0) == []
    for topic in TOPICS:
        assert await partition_count(server, topic) == 16


async def test_a_topic_begins_at_offset_zero_after_its_reset(start_broker: StartBroker) -> None:
    """A deleted and recreated topic looks the same to a client that stayed connected."""
    server = start_broker()
    await send(server, partition=3, value=b"before")

    server.reset_topics()

    assert await read(server, partition=3) == []
    await send(server, partition=3, value=b"after")
    assert await read(server, partition=3) == [(0, b"after")]


async def test_a_broker_that_was_down_still_has_its_records(start_broker: StartBroker) -> None:
    """`down` and `up` are an outage, not a loss."""
    server = start_broker()
    await send(server, partition=1, value=b"kept")

    server.down()
    server.up()

    assert await read(server, partition=1) == [(0, b"kept")]


async def test_a_failed_start_shows_the_servers_log(
    tmp_path: Path, start_valkey: StartValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cause is in the message, without a search for the log file."""
    monkeypatch.setattr(embedded_server, "EARLY_EXIT_RETRY_S", 0.0)
    port_in_use = start_valkey().port

    with pytest.raises(ServerFailed, match="Address already in use"):
        Valkey(tmp_path, port=port_in_use).start()


async def test_a_stopped_server_is_killed_after_the_grace_period(start_valkey: StartValkey) -> None:
    """A process that does not react (SIGSTOP) must not delay the stop of all others."""
    server = start_valkey()
    server.signal(signal.SIGSTOP)

    server.stop(grace_s=0.1)

    assert not server.is_running


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that every user can enter; pytest's are private."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def disable_user_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every start in a user namespace fail, as on a kernel without them."""
    monkeypatch.setattr(
        postgres_identity,
        "can_run",
        lambda identity, command: identity != "user-namespace" and can_run(identity, command),
    )


def modes(folders: list[Path]) -> dict[Path, int]:
    """Return the permission bits of each folder that exists."""
    return {folder: stat.S_IMODE(os.stat(folder).st_mode) for folder in folders if folder.exists()}


async def run_id(server: Valkey) -> str:
    """Return the run id, which a Valkey process chooses at its start."""
    async with Redis.from_url(server.address, decode_responses=True) as client:
        return cast(str, (await client.info("server"))["run_id"])


async def send(server: KafkaServer, partition: int, value: bytes) -> None:
    """Send one record to the commits topic."""
    async with AIOKafkaProducer(bootstrap_servers=server.address, acks="all") as producer:
        await producer.send_and_wait(COMMITS, value, partition=partition)


async def read(server: KafkaServer, partition: int) -> list[tuple[int, bytes]]:
    """Return offset and value of every record in a partition of the commits topic."""
    place = TopicPartition(COMMITS, partition)
    async with AIOKafkaConsumer(bootstrap_servers=server.address, auto_offset_reset="earliest") as consumer:
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        records: list[tuple[int, bytes]] = []
        while len(records) < end:
            record = await consumer.getone(place)
            records.append((record.offset, record.value))
        return records


async def partition_count(server: KafkaServer, topic: str) -> int:
    """Return how many partitions of a topic the broker reports."""
    async with AIOKafkaProducer(bootstrap_servers=server.address) as producer:
        return len(await producer.partitions_for(topic))
