"""`holdfast doctor` against servers with safe settings, with unsafe ones, and with settings that it may not read."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
import structlog
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from inventory_service import metrics
from inventory_service.server_checks import run as checks_run
from inventory_service.server_checks.doctor import run
from inventory_service.settings import Settings
from inventory_service.wiring import server_checks
from inventory_service.wiring.servers import redis_dependency
from tests.inventory_server import open_shards, run_process, running_server_process
from tests.servers import PARTITIONS, REAL, StartBroker, StartValkey, connected, new_broker, started
from tests.waiting import eventually

CLOSED_PORT = "127.0.0.1:1"
# How long a server may take to answer; and one that is missing, for which the doctor waits in full.
IS_THERE_S, IS_MISSING_S = 30.0, 1.0
SOME_ARE_MISSING_S = "6"


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One broker for all tests that only read its settings: its bootstrap address."""
    with started(new_broker(tmp_path_factory.mktemp("broker"))) as address:
        yield address


async def doctor(redis_url: str, dsn: str, brokers: str, strict: bool = False) -> tuple[int, list[str]]:
    """Its exit code, and its lines."""
    addresses: dict[str, Any] = {"redis_url": redis_url, "postgres_dsn": dsn, "kafka_brokers": brokers}
    missing = [CLOSED_PORT in address for address in addresses.values()]
    checks = [
        checks_of(Settings(**addresses, shards=PARTITIONS, start_wait_s=IS_MISSING_S if is_missing else IS_THERE_S))[at]
        for at, is_missing in enumerate(missing)
    ]
    printed: list[str] = []
    code = await run(checks, as_json=False, write=printed.append, strict=strict)
    return code, "\n".join(printed).splitlines()


def checks_of(settings: Settings) -> Sequence[checks_run.Check]:
    """Of Redis, PostgreSQL and Kafka."""
    return server_checks.checks_after_probe(settings, redis_dependency(settings, may_be_replica=True))


def line_of(output: list[str], server: str, setting: str) -> str:
    """The line of a setting, and the next one, which has its change."""
    (at,) = [number for number, line in enumerate(output) if f"{server:8}  {setting} =" in line]
    return "\n".join(output[at : at + 2])


def off(output: list[str]) -> list[str]:
    """The settings whose check fails."""
    return [line[16:].partition(" = ")[0] for line in output if line.startswith("FAIL ")]


async def test_servers_as_the_tests_start_them_keep_every_promise(valkey: str, database: str, kafka: str) -> None:
    """Exit code 0; the embedded broker shows no settings, which one line says."""
    code, output = await doctor(valkey, database, kafka)

    assert off(output) == []
    assert code == 0, output
    assert line_of(output, "Redis", "appendfsync").startswith("ok ")
    assert line_of(output, "Postgres", "fsync").startswith("ok ")
    assert line_of(output, "Kafka", "holdfast.commits.v1 partitions").startswith("ok ")
    if not REAL:
        assert line_of(output, "Kafka", "holdfast.commits.v1 settings").startswith("?")


async def test_unsafe_settings_of_redis_are_reported_line_by_line(start_valkey: StartValkey, database: str) -> None:
    """Exit code 1, although Kafka could not be checked: one failed check is enough."""
    redis = start_valkey().address
    async with Redis.from_url(redis) as client:
        await client.config_set("appendfsync", "everysec")
        await client.config_set("no-appendfsync-on-rewrite", "yes")
        await client.config_set("maxmemory-policy", "allkeys-lru")
        await client.config_set("appendonly", "no")

    code, output = await doctor(redis, database, CLOSED_PORT)

    assert code == 1
    assert off(output) == ["appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy"]
    assert "CONFIG SET appendfsync always" in line_of(output, "Redis", "appendfsync")


async def test_settings_that_the_redis_user_may_not_read_are_unknown(
    start_valkey: StartValkey, database: str, kafka: str
) -> None:
    """INFO shows appendonly and maxmemory-policy all the same, but not appendfsync."""
    redis = start_valkey().address
    async with Redis.from_url(redis) as client:
        rights: dict[str, Any] = {"keys": ["*"], "categories": ["+@all"], "commands": ["-config"]}
        await client.acl_setuser("clerk", enabled=True, passwords=["+secret"], **rights)

    code, output = await doctor(redis.replace("//", "//clerk:secret@"), database, kafka)

    assert code == 0
    assert line_of(output, "Redis", "appendfsync").startswith("?")
    assert "no permissions" in line_of(output, "Redis", "appendfsync")
    assert line_of(output, "Redis", "appendonly").startswith("ok ")
    assert line_of(output, "Redis", "maxmemory-policy").startswith("ok ")


@pytest.mark.parametrize("lacking", ["-@scripting", "-@write", "resetkeys"])
async def test_missing_rights_of_the_redis_user_fail_the_check(
    start_valkey: StartValkey, database: str, lacking: str, kafka: str
) -> None:
    """The server would look healthy because reads work, and each Reserve would fail with STORE_UNREACHABLE."""
    redis = start_valkey().address
    async with Redis.from_url(redis) as client:
        rights = ("on", ">secret", "~*", "+@all", lacking)
        await client.execute_command("ACL", "SETUSER", "clerk", *rights)  # type: ignore[no-untyped-call]

    code, output = await doctor(redis.replace("//", "//clerk:secret@"), database, kafka)

    assert code == 1
    assert off(output) == ["rights"]
    assert "permissions" in line_of(output, "Redis", "rights")
    assert line_of(output, "Redis", "appendfsync").startswith("ok ")


async def test_a_primary_that_waits_for_no_replica_fails_and_so_does_a_replica(
    start_valkey: StartValkey, database: str, kafka: str
) -> None:
    """The first keeps acknowledging writes when it is cut off, and the second accepts none."""
    primary, replica = start_valkey(), start_valkey()
    async with Redis.from_url(replica.address) as client, Redis.from_url(primary.address) as other:
        await client.replicaof("127.0.0.1", str(primary.port))
        await eventually(lambda: _has_replica(other))

    _, of_primary = await doctor(primary.address, database, kafka)
    _, of_replica = await doctor(replica.address, database, kafka)

    assert off(of_primary) == ["min-replicas-to-write"]
    assert "role" in off(of_replica)
    assert "127.0.0.1" in line_of(of_replica, "Redis", "role")


async def _has_replica(client: Redis) -> bool:
    """A replica is connected."""
    return bool((await client.info("replication"))["connected_slaves"])


@pytest.mark.parametrize("where", ["database {database}", "role {user} in database {database}"])
async def test_synchronous_commit_off_is_reported_with_the_place_that_sets_it(
    valkey: str, database: str, where: str, kafka: str
) -> None:
    """The settings of a database or a role override the server's file."""
    address = urlsplit(database)
    place = where.format(database=address.path[1:], user=address.username)
    async with connected(database) as admin:
        await admin.execute(f"alter {place} set synchronous_commit = off")

    code, output = await doctor(valkey, database, kafka)

    assert code == 1
    assert off(output) == ["synchronous_commit"]
    assert f"alter {place} reset synchronous_commit" in line_of(output, "Postgres", "synchronous_commit")


async def test_a_postgres_that_takes_no_writes_fails_the_check(valkey: str, database: str, kafka: str) -> None:
    """No process keeps a session with it, but what it says of itself tells what is wrong."""
    name = urlsplit(database).path[1:]
    async with connected(database) as admin:
        await admin.execute(f"alter database {name} set default_transaction_read_only = on")

    code, output = await doctor(valkey, database, kafka)

    assert code == 1
    assert off(output) == ["default_transaction_read_only"]


async def test_an_option_of_the_dsn_overrides_all_others(valkey: str, database: str, kafka: str) -> None:
    """It applies to every process of Holdfast, and is in none of the server's own files."""
    _, output = await doctor(valkey, f"{database}?synchronous_commit=off", kafka)

    assert off(output) == ["synchronous_commit"]
    assert "HOLDFAST_POSTGRES_DSN" in line_of(output, "Postgres", "synchronous_commit")


@pytest.mark.parametrize("word", ["off", "False", "no", "0"])
async def test_synchronous_commit_off_of_another_role_is_a_note(
    valkey: str, database: str, word: str, kafka: str
) -> None:
    """A persister may run as that role. Postgres stores the value as it was spelled."""
    async with connected(database) as admin:
        await admin.execute("create role idler")
        try:
            await admin.execute(
                f"alter role idler in database {urlsplit(database).path[1:]} set synchronous_commit = '{word}'"
            )
            _, output = await doctor(valkey, database, kafka)
        finally:
            await admin.execute("drop role idler")

    found = line_of(output, "Postgres", "synchronous_commit of other roles")
    assert found.startswith("note")
    assert "alter role idler" in found


async def test_unlogged_tables_fail_the_check(valkey: str, database: str, kafka: str) -> None:
    """A crash of Postgres empties them, and Redis has trimmed the same commits."""
    async with connected(database) as admin:
        await admin.execute("alter table journal set unlogged")

    _, output = await doctor(valkey, database, kafka)

    assert off(output) == ["unlogged tables"]
    assert "alter table journal set logged" in line_of(output, "Postgres", "unlogged tables")


async def test_a_ledger_without_tables_fails_the_check(valkey: str, empty_database: str, kafka: str) -> None:
    """The line names the command that makes them."""
    code, output = await doctor(valkey, empty_database, kafka)

    assert (code, off(output)) == (1, ["schema version"])
    assert "holdfast migrate" in line_of(output, "Postgres", "schema version")


async def test_commits_given_up_of_late_and_quarantined_records_are_notes(
    valkey: str, database: str, kafka: str
) -> None:
    """Callers may have been told of the first, and have a day to be helped. An operator has to explain the others."""
    async with connected(database) as db:
        await db.execute(
            """insert into shard_epoch (shard, epoch, base_epoch, base_seq, base_hash, how, known_lost, create_time)
               select shard, 2, 1, 5, '', 'ADOPTED', shard > 0, now() - make_interval(hours => 20 * shard)
                 from generate_series(0, 2) as shard"""
        )
        await db.execute(
            """insert into quarantined_record (shard, record_offset, why, payload)
               values (3, 0, 'a test', 'one'), (1, 0, 'a test', 'one'), (1, 1, 'a test', 'two')"""
        )

    code, output = await doctor(valkey, database, kafka)

    assert code == 0
    assert line_of(output, "Postgres", "commits given up").startswith("note ")
    assert "shard 1:" in line_of(output, "Postgres", "commits given up")
    assert line_of(output, "Postgres", "quarantined records").startswith("note ")
    assert "quarantined records = shard 1: 2, shard 3: 1:" in line_of(output, "Postgres", "quarantined records")


async def test_another_number_of_shards_fails_the_check_of_each_server(
    valkey: str, database: str, start_broker: StartBroker
) -> None:
    """Processes refuse to start there; the doctor has a line for each server."""
    await open_shards(valkey, shards=4)

    _, output = await doctor(valkey, database, start_broker(partitions=4).address)

    assert off(output)[0] == "shards"
    assert [setting for setting in off(output) if setting.endswith(" partitions")] == [
        f"holdfast.{topic}.v1 partitions"
        for topic in ("commits", "ledger-progress", "compensations", "orders", "sales")
    ]


@pytest.mark.parametrize(("strict", "expected"), [(False, 0), (True, 2)])
async def test_unreachable_servers_are_named(database: str, strict: bool, expected: int) -> None:
    """With the setting of the server's address. No check fails, so the exit code is 0, and 2 with --strict."""
    code, output = await doctor(f"redis://{CLOSED_PORT}/0", database, CLOSED_PORT, strict=strict)

    assert code == expected
    assert "HOLDFAST_REDIS_URL" in line_of(output, "Redis", "answers")
    assert "HOLDFAST_KAFKA_BROKERS" in line_of(output, "Kafka", "answers")
    assert line_of(output, "Postgres", "fsync").startswith("ok ")


async def test_the_doctor_prints_the_same_as_json(valkey: str, database: str) -> None:
    """Every result as an object."""
    where = {"HOLDFAST_REDIS_URL": valkey, "HOLDFAST_POSTGRES_DSN": database}
    _, output = await run_process("doctor", "--json", HOLDFAST_START_WAIT_S=SOME_ARE_MISSING_S, **where)

    report = json.loads("\n".join(output))
    found = {(finding["server"], finding["setting"]): finding["level"] for finding in report["results"]}
    assert found["Redis", "appendfsync"] == "ok"
    assert found["Kafka", "answers"] == "unknown"
    assert report["ok"] is False


async def test_the_metrics_page_shows_the_checks_at_the_start(start_valkey: StartValkey, database: str) -> None:
    """As a metric for alarms; the server serves all the same, and does not wait for the checks."""
    redis = start_valkey().address
    await open_shards(redis)
    async with Redis.from_url(redis) as client:
        await client.config_set("appendfsync", "everysec")

    async with running_server_process(redis, database) as server:

        def page() -> str:
            with urllib.request.urlopen(server.metrics_url) as answer:
                return str(answer.read().decode())

        kept = "holdfast_server_check_ok{{server={!r},setting={!r}}} {}".format
        lines = [kept("Redis", "appendfsync", 0.0), kept("Redis", "appendonly", 1.0), kept("Postgres", "fsync", 1.0)]
        wanted = [line.replace("'", '"') for line in lines]
        await eventually(lambda: all(line in page() for line in wanted))


async def test_a_setting_that_is_changed_later_is_exported(
    start_valkey: StartValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Redis setting that breaks a promise is reported while servers run, and its mending too."""
    monkeypatch.setattr(checks_run, "INTERVAL_S", 0.1)
    redis, registry = start_valkey().address, CollectorRegistry()
    settings = Settings(redis_url=redis, shards=PARTITIONS)
    checks = server_checks.checks(settings)[:1]
    (watch,) = checks_run.check_watches(checks, structlog.get_logger(), metrics.ServerCheckMetrics(registry))
    watching = asyncio.create_task(watch())

    def is_exported(value: float) -> bool:
        """The gauge has this value."""
        labels = {"server": "Redis", "setting": "appendfsync"}
        return registry.get_sample_value("holdfast_server_check_ok", labels) == value

    async with Redis.from_url(redis) as client:
        for value, ok in (("always", 1.0), ("no", 0.0), ("always", 1.0)):
            await client.config_set("appendfsync", value)
            await eventually(partial(is_exported, ok))
    watching.cancel()
