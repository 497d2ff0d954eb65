"""The embedded servers keep what they promise: start, data across crashes, nothing changed around them."""

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
from holdfast_embedded import postgres_seat
from holdfast_embedded import server as embedded_server
from holdfast_embedded.broker import TOPICS
from holdfast_embedded.postgres import Postgres
from holdfast_embedded.postgres_seat import NoSeat, runs, wheel_programs
from holdfast_embedded.server import KafkaServer, ServerFailed
from holdfast_embedded.valkey import Valkey
from redis.asyncio import Redis

from tests.servers import StartBroker, StartPostgres, StartValkey, connected

COMMITS = TOPICS[0]


async def test_valkey_writes_to_disk_before_it_answers(start_valkey: StartValkey) -> None:
    """Promise 2 rests on these settings, and Redis' own defaults are others."""
    server = start_valkey()

    async with Redis.from_url(server.address, decode_responses=True) as client:
        settings = await client.config_get("append*", "maxmemory-policy")

    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "always"
    assert settings["maxmemory-policy"] == "noeviction"


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_valkey_keeps_its_data_and_port(start_valkey: StartValkey, end: str) -> None:
    """An orderly end and a crash lose nothing, and clients find it where it was, as another run."""
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
    """An orderly end and a crash lose nothing that was committed, and clients find it where it was."""
    server = start_postgres()
    async with connected(server.address) as connection:
        await connection.execute("create table kept as select 1 as one")

        getattr(server, end)()
    server.start()

    async with connected(server.address) as connection:
        assert await connection.fetchval("select one from kept") == 1


async def test_postgres_changes_no_permission_above_its_data(tmp_path: Path) -> None:
    """The wheel's own way opens every parent folder to everybody; a private home stays private here."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    server = Postgres(private / "postgres")
    watched = [*server.data_dir.parents, *server.seat.programs.parents]
    before = modes(watched)

    server.start()
    server.stop()

    assert modes(watched) == before
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_postgres_runs_as_another_user_where_namespaces_are_refused(
    monkeypatch: pytest.MonkeyPatch, reachable: Path
) -> None:
    """Not every kernel lets root make a user namespace; then a copy of the programs runs without root's rights."""
    refuse_namespaces(monkeypatch)
    server = Postgres(reachable / "postgres")
    wheel_before = modes([wheel_programs()])

    server.start()

    async with connected(server.address) as connection:
        assert await connection.fetchval("select 1") == 1
    assert psutil.Process(server.pid).uids().real != 0
    server.stop()
    assert modes([wheel_programs()]) == wheel_before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_postgres_says_what_to_do_where_it_cannot_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No permission is changed to make it run; the person decides."""
    refuse_namespaces(monkeypatch)
    private = tmp_path / "private"
    private.mkdir(mode=0o700)

    with pytest.raises(NoSeat, match=r"cannot reach .*--data-dir.*HOLDFAST_POSTGRES_DSN"):
        Postgres(private / "postgres").start()

    assert modes([private]) == {private: 0o700}


async def test_postgres_takes_no_half_made_cluster_for_whole(tmp_path: Path) -> None:
    """A crash in the middle of initdb leaves only what the next start throws away."""
    half_made = tmp_path / "cluster.new"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18\n")

    server = Postgres(tmp_path)
    server.start()

    async with connected(server.address) as connection:
        assert await connection.fetchval("select current_database()") == "holdfast"
    server.stop()


async def test_the_broker_has_our_topics_with_a_partition_a_shard(start_broker: StartBroker) -> None:
    """Records come back from the very partition they were sent to, and the highest is there."""
    server = start_broker(partitions=16)

    await send(server, partition=15, value=b"first")

    assert await read(server, partition=15) == [(0, b"first")]
    assert await read(server, partition=0) == []
    for topic in TOPICS:
        assert await partition_count(server, topic) == 16


async def test_a_wiped_broker_begins_at_offset_zero_again(start_broker: StartBroker) -> None:
    """That is what a deleted and recreated topic looks like to those who stayed connected."""
    server = start_broker()
    await send(server, partition=3, value=b"before")

    server.wipe()

    assert await read(server, partition=3) == []
    await send(server, partition=3, value=b"after")
    assert await read(server, partition=3) == [(0, b"after")]


async def test_a_broker_that_was_down_still_has_its_records(start_broker: StartBroker) -> None:
    """Down and up is an outage, not a loss."""
    server = start_broker()
    await send(server, partition=1, value=b"kept")

    server.down()
    server.up()

    assert await read(server, partition=1) == [(0, b"kept")]


async def test_a_start_that_fails_says_why(
    tmp_path: Path, start_valkey: StartValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message carries the end of the server's own log, so nobody has to look for it."""
    monkeypatch.setattr(embedded_server, "EARLY_END_PATIENCE_S", 0.0)
    taken = start_valkey().port

    with pytest.raises(ServerFailed, match="Address already in use"):
        Valkey(tmp_path, port=taken).start()


async def test_a_stopped_server_is_killed_after_the_grace_period(start_valkey: StartValkey) -> None:
    """A process that hears nothing (SIGSTOP) must not hold up the end of all others."""
    server = start_valkey()
    server.signal(signal.SIGSTOP)

    server.stop(grace_s=0.1)

    assert not server.is_running


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that every user can enter; pytest's own ones are private."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def refuse_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every attempt to run as root's guest fail, as such a kernel does."""
    monkeypatch.setattr(
        postgres_seat, "runs", lambda identity, command: identity != "guest" and runs(identity, command)
    )


def modes(folders: list[Path]) -> dict[Path, int]:
    """Return the permission bits of each folder that is there."""
    return {folder: stat.S_IMODE(os.stat(folder).st_mode) for folder in folders if folder.exists()}


async def run_id(server: Valkey) -> str:
    """Return the id that a Valkey process gives itself at its start."""
    async with Redis.from_url(server.address, decode_responses=True) as client:
        return cast(str, (await client.info("server"))["run_id"])


async def send(server: KafkaServer, partition: int, value: bytes) -> None:
    """Send one record of the commits topic."""
    async with AIOKafkaProducer(bootstrap_servers=server.address, acks="all") as producer:
        await producer.send_and_wait(COMMITS, value, partition=partition)


async def read(server: KafkaServer, partition: int) -> list[tuple[int, bytes]]:
    """Return offset and value of all records that a partition of the commits topic holds."""
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
    """Ask the broker itself how many partitions a topic has."""
    async with AIOKafkaProducer(bootstrap_servers=server.address) as producer:
        return len(await producer.partitions_for(topic))
