"""`holdfast doctor` against servers that keep what is promised, that do not, and that may not be asked."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from inventory_service.server_checks.doctor import run
from inventory_service.settings import Settings
from inventory_service.wiring import server_checks
from inventory_service.wiring.servers import redis_dependency
from tests.inventory_server import open_shards, run_to_its_end, served_apart
from tests.servers import PARTITIONS, REAL, StartBroker, StartValkey, connected, new_broker
from tests.waiting import eventually

NOBODY = "127.0.0.1:1"
# How long one that is there may take to answer. Where one is missing, it is what asking for all of them takes.
ALL_THERE_S, ONE_IS_MISSING_S = 30.0, 3.0


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One broker for all tests that only have it asked: its bootstrap address."""
    server = new_broker(tmp_path_factory.mktemp("broker"))
    server.start()
    yield server.address
    server.kill()


async def doctor(redis_url: str, dsn: str, brokers: str, strict: bool = False) -> tuple[int, list[str]]:
    """Its exit code, and its lines."""
    wait_s = ONE_IS_MISSING_S if NOBODY in redis_url + brokers else ALL_THERE_S
    settings = Settings(
        redis_url=redis_url, postgres_dsn=dsn, kafka_brokers=brokers, shards=PARTITIONS, start_wait_s=wait_s
    )
    printed: list[str] = []
    checks = server_checks.checks_after_probe(settings, redis_dependency(settings))
    code = await run(checks, as_json=False, write=printed.append, strict=strict)
    return code, "\n".join(printed).splitlines()


def line_of(said: list[str], server: str, setting: str) -> str:
    """The line of a setting, and what follows it about its change."""
    (at,) = [number for number, line in enumerate(said) if f"{server:8}  {setting} =" in line]
    return "\n".join(said[at : at + 2])


def off(said: list[str]) -> list[str]:
    """The settings by which a promise is off."""
    return [line[16:].partition(" = ")[0] for line in said if line.startswith("FAIL ")]


async def test_servers_as_the_tests_start_them_keep_every_promise(valkey: str, database: str, kafka: str) -> None:
    """Exit code 0, though the embedded broker tells no settings, which is said."""
    code, said = await doctor(valkey, database, kafka)

    assert off(said) == []
    assert code == 0, said
    assert line_of(said, "Redis", "appendfsync").startswith("ok ")
    assert line_of(said, "Postgres", "fsync").startswith("ok ")
    assert line_of(said, "Kafka", "holdfast.commits.v1 partitions").startswith("ok ")
    if not REAL:
        assert line_of(said, "Kafka", "holdfast.commits.v1 settings").startswith("?")


async def test_a_redis_that_breaks_promises_is_told_line_by_line(start_valkey: StartValkey, database: str) -> None:
    """Exit code 1, though Kafka could not even be asked: what is broken is sure."""
    redis = start_valkey().address
    async with Redis.from_url(redis) as client:
        await client.config_set("appendfsync", "everysec")
        await client.config_set("no-appendfsync-on-rewrite", "yes")
        await client.config_set("maxmemory-policy", "allkeys-lru")
        await client.config_set("appendonly", "no")

    code, said = await doctor(redis, database, NOBODY)

    assert code == 1
    assert off(said) == ["appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy"]
    assert "CONFIG SET appendfsync always" in line_of(said, "Redis", "appendfsync")


async def test_a_user_who_may_not_ask_is_told_so_and_nothing_is_guessed(
    start_valkey: StartValkey, database: str, kafka: str
) -> None:
    """INFO tells of the file and of eviction all the same; how often the file is synced it does not."""
    redis = start_valkey().address
    async with Redis.from_url(redis) as client:
        rights: dict[str, Any] = {"keys": ["*"], "categories": ["+@all"], "commands": ["-config"]}
        await client.acl_setuser("clerk", enabled=True, passwords=["+secret"], **rights)

    code, said = await doctor(redis.replace("//", "//clerk:secret@"), database, kafka)

    assert code == 0
    assert line_of(said, "Redis", "appendfsync").startswith("?")
    assert "no permissions" in line_of(said, "Redis", "appendfsync")
    assert line_of(said, "Redis", "appendonly").startswith("ok ")
    assert line_of(said, "Redis", "maxmemory-policy").startswith("ok ")


@pytest.mark.parametrize("lacking", ["-@scripting", "-@write", "resetkeys"])
async def test_a_user_who_may_not_do_what_the_scripts_do_sells_nothing(
    start_valkey: StartValkey, database: str, lacking: str, kafka: str
) -> None:
    """A server that reads is taken for healthy, and each Reserve would tell of a store that is away."""
    redis = start_valkey().address
    async with Redis.from_url(redis) as client:
        rights = ("on", ">secret", "~*", "+@all", lacking)
        await client.execute_command("ACL", "SETUSER", "clerk", *rights)  # type: ignore[no-untyped-call]

    code, said = await doctor(redis.replace("//", "//clerk:secret@"), database, kafka)

    assert code == 1
    assert off(said) == ["rights"]
    assert "permissions" in line_of(said, "Redis", "rights")
    assert line_of(said, "Redis", "appendfsync").startswith("ok ")


async def test_a_primary_that_waits_for_no_replica_is_off_and_so_is_a_replica(
    start_valkey: StartValkey, database: str, kafka: str
) -> None:
    """The first goes on alone when it was cut off, the second takes nothing."""
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
async def test_a_ledger_that_does_not_wait_for_its_disk_is_told_where_that_is_set(
    valkey: str, database: str, where: str, kafka: str
) -> None:
    """The file may say the right thing: what is set for a database or a role stands above it."""
    address = urlsplit(database)
    place = where.format(database=address.path[1:], user=address.username)
    async with connected(database) as admin:
        await admin.execute(f"alter {place} set synchronous_commit = off")

    code, said = await doctor(valkey, database, kafka)

    assert code == 1
    assert off(said) == ["synchronous_commit"]
    assert f"alter {place} reset synchronous_commit" in line_of(said, "Postgres", "synchronous_commit")


async def test_an_option_of_the_dsn_stands_above_all(valkey: str, database: str, kafka: str) -> None:
    """It applies to every process of Holdfast, and stands in none of the server's own files."""
    _, said = await doctor(valkey, f"{database}?synchronous_commit=off", kafka)

    assert off(said) == ["synchronous_commit"]
    assert "HOLDFAST_POSTGRES_DSN" in line_of(said, "Postgres", "synchronous_commit")


@pytest.mark.parametrize("word", ["off", "False", "no", "0"])
async def test_another_role_that_does_not_wait_is_a_note_however_that_is_spelled(
    valkey: str, database: str, word: str, kafka: str
) -> None:
    """Postgres keeps the word as it was given; a persister may run as that role."""
    async with connected(database) as admin:
        await admin.execute("create role idler")
        try:
            await admin.execute(
                f"alter role idler in database {urlsplit(database).path[1:]} set synchronous_commit = '{word}'"
            )
            _, said = await doctor(valkey, database, kafka)
        finally:
            await admin.execute("drop role idler")

    found = line_of(said, "Postgres", "synchronous_commit of other roles")
    assert found.startswith("note")
    assert "alter role idler" in found


async def test_tables_that_a_crash_empties_are_off(valkey: str, database: str, kafka: str) -> None:
    """Postgres keeps no log of them, and Redis has trimmed what they held."""
    async with connected(database) as admin:
        await admin.execute("alter table journal set unlogged")

    _, said = await doctor(valkey, database, kafka)

    assert off(said) == ["unlogged tables"]
    assert "alter table journal set logged" in line_of(said, "Postgres", "unlogged tables")


async def test_a_ledger_without_tables_is_off(valkey: str, empty_database: str, kafka: str) -> None:
    """The line says what makes them."""
    code, said = await doctor(valkey, empty_database, kafka)

    assert (code, off(said)) == (1, ["schema version"])
    assert "holdfast migrate" in line_of(said, "Postgres", "schema version")


async def test_another_number_of_shards_is_off_wherever_it_is_written(
    valkey: str, database: str, start_broker: StartBroker
) -> None:
    """Processes refuse to run there; the doctor says of each server why."""
    await open_shards(valkey, shards=4)

    _, said = await doctor(valkey, database, start_broker(partitions=4).address)

    assert off(said)[0] == "shards"
    assert [setting for setting in off(said) if setting.endswith(" partitions")] == [
        f"holdfast.{topic}.v1 partitions" for topic in ("commits", "ledger-progress", "compensations", "orders")
    ]


@pytest.mark.parametrize(("strict", "expected"), [(False, 0), (True, 2)])
async def test_servers_that_could_not_be_asked_are_named(database: str, strict: bool, expected: int) -> None:
    """With the setting by which the server was looked for. Nothing is known to be off; who minds that asks strictly."""
    code, said = await doctor(f"redis://{NOBODY}/0", database, NOBODY, strict=strict)

    assert code == expected
    assert "HOLDFAST_REDIS_URL" in line_of(said, "Redis", "answers")
    assert "HOLDFAST_KAFKA_BROKERS" in line_of(said, "Kafka", "answers")
    assert line_of(said, "Postgres", "fsync").startswith("ok ")


async def test_the_doctor_prints_the_same_as_json(valkey: str, database: str) -> None:
    """Every finding with its parts by name."""
    where = {"HOLDFAST_REDIS_URL": valkey, "HOLDFAST_POSTGRES_DSN": database}
    _, said = await run_to_its_end("doctor", "--json", HOLDFAST_START_WAIT_S=str(ONE_IS_MISSING_S), **where)

    report = json.loads("\n".join(said))
    found = {(finding["server"], finding["setting"]): finding["level"] for finding in report["results"]}
    assert found["Redis", "appendfsync"] == "ok"
    assert found["Kafka", "answers"] == "unknown"
    assert report["ok"] is False


async def test_a_server_shows_what_it_found_at_its_start(start_valkey: StartValkey, database: str) -> None:
    """As a metric, which an alarm can watch; it serves all the same, and does not wait for the answers."""
    redis = start_valkey().address
    await open_shards(redis)
    async with Redis.from_url(redis) as client:
        await client.config_set("appendfsync", "everysec")

    async with served_apart(redis, database) as server:

        def page() -> str:
            with urllib.request.urlopen(server.metrics_url) as answer:
                return str(answer.read().decode())

        kept = "holdfast_server_check_ok{{server={!r},setting={!r}}} {}".format
        lines = [kept("Redis", "appendfsync", 0.0), kept("Redis", "appendonly", 1.0), kept("Postgres", "fsync", 1.0)]
        wanted = [line.replace("'", '"') for line in lines]
        await eventually(lambda: all(line in page() for line in wanted))
