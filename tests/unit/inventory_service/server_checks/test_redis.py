"""What is said of each setting of Redis, Postgres and the clocks: kept, off, or not to be known."""

from collections.abc import Mapping
from typing import Any

import pytest

from inventory_service.server_checks.clocks import Reading, judge_clock
from inventory_service.server_checks.postgres import SCHEMA, PostgresConfig, PostgresSetting, judge_postgres
from inventory_service.server_checks.redis import RedisConfig, judge_redis
from inventory_service.server_checks.results import CheckResult, Level, exit_code
from inventory_service.server_checks.shards import judge_shards
from order_persister.adapters.ledger.migrator import migrations

INFO = {
    "redis_version": "7.0.15",
    "role": "master",
    "connected_slaves": "0",
    "cluster_enabled": "0",
    "aof_enabled": "1",
    "maxmemory": "1000000",
    "maxmemory_policy": "noeviction",
    "used_memory": "500000",
    "config_file": "/etc/redis.conf",
}
CONFIG = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "maxmemory": "1000000",
    "maxmemory-policy": "noeviction",
    "min-replicas-to-write": "0",
    "min-replicas-max-lag": "10",
}
SETTINGS = {
    "server_version": "15.1",
    "server_version_num": "150001",
    "server_encoding": "UTF8",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "synchronous_standby_names": "",
    "default_transaction_read_only": "off",
    "statement_timeout": "0",
}


def of_redis(info: Mapping[str, str] | None = None, /, denied: str = "", **config: str) -> list[CheckResult]:
    """What is said of a Redis that is as it should be, but for this."""
    told = {name.replace("_", "-"): value for name, value in config.items()}
    facts = RedisConfig(INFO | dict(info or {}), {} if denied else CONFIG | told, denied, {}, missing_rights="")
    return judge_redis(facts, memory_share=0.9)


def of_postgres(
    source: str = "default", facts: Mapping[str, Any] | None = None, /, **settings: str
) -> list[CheckResult]:
    """What is said of a Postgres that is as it should be, but for this."""
    reported = {
        name: PostgresSetting(value, source if name in settings else "default")
        for name, value in (SETTINGS | settings).items()
    }
    good = PostgresConfig(reported, "seller", "holdfast", False, 0, SCHEMA, (), ())
    return judge_postgres(good._replace(**(facts or {})))


def one(results: list[CheckResult], setting: str) -> CheckResult:
    """The finding of a setting."""
    (found,) = [finding for finding in results if finding.setting == setting]
    return found


def test_servers_as_they_should_be_keep_every_promise() -> None:
    """Whoever followed the operations page hears no complaint, and has nothing to change."""
    results = [*of_redis(), *of_postgres()]

    assert {finding.level for finding in results} == {Level.OK}
    assert not any(finding.change for finding in results)
    assert exit_code(results) == 0


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("appendonly", "no"),
        ("appendfsync", "everysec"),
        ("appendfsync", "no"),
        ("no-appendfsync-on-rewrite", "yes"),
        ("maxmemory-policy", "allkeys-lru"),
        ("maxmemory-policy", "volatile-ttl"),
        ("maxmemory", "400000"),
        ("maxmemory", "550000"),
    ],
)
def test_a_redis_that_may_lose_or_drop_something_is_off(setting: str, value: str) -> None:
    """Each of these alone takes a promise away; the way back is told, for now and for the next start."""
    results = of_redis(**{setting.replace("-", "_"): value})

    assert [finding.setting for finding in results if finding.level is Level.FAIL] == [setting]
    assert f"CONFIG SET {setting}" in one(results, setting).change
    assert "CONFIG REWRITE" in one(results, setting).change
    assert exit_code(results) == 1


def test_a_redis_without_a_file_is_told_how_to_start_next_time() -> None:
    """CONFIG REWRITE has nothing to write to there."""
    change = one(of_redis({"config_file": ""}, appendfsync="no"), "appendfsync").change

    assert "--appendfsync always" in change
    assert "REWRITE" not in change


def test_a_redis_that_may_not_be_asked_is_judged_by_what_it_tells_anyway() -> None:
    """INFO knows whether there is a file and what may be evicted; how often the file is synced, nobody may guess."""
    results = of_redis({"aof_enabled": "0"}, denied="NOPERM this user has no permissions")

    assert one(results, "appendonly").level is Level.FAIL
    assert one(results, "maxmemory-policy").level is Level.OK
    assert one(results, "appendfsync").level is Level.UNKNOWN
    assert "NOPERM" in one(results, "appendfsync").promise


def test_a_user_who_may_not_run_the_scripts_is_off() -> None:
    """All else may be as it should: nothing is sold."""
    facts = RedisConfig(INFO, CONFIG, denied="", cluster={}, missing_rights="NOPERM")

    found = one(judge_redis(facts, memory_share=0.9), "rights")

    assert found.level is Level.FAIL
    assert "NOPERM" in found.promise
    assert "+@scripting" in found.change


def test_what_is_unknown_alone_ends_with_2_if_that_is_strict() -> None:
    """A setting that a managed server does not show is no fault of its own; a script that minds says so."""
    results = of_redis(denied="NOPERM")

    assert (exit_code(results), exit_code(results, strict=True)) == (0, 2)


def test_memory_without_a_limit_is_a_note() -> None:
    """Nothing that was acknowledged is lost by it, so that no promise is off."""
    assert one(of_redis(maxmemory="0"), "maxmemory").level is Level.NOTE


@pytest.mark.parametrize(
    ("info", "config", "standing"),
    [
        ({"connected_slaves": "1"}, {}, Level.FAIL),
        ({"connected_slaves": "1", "min_slaves_good_slaves": "1"}, {"min_replicas_to_write": "1"}, Level.OK),
        (
            {"connected_slaves": "1"},
            {"min_replicas_to_write": "1", "min_replicas_max_lag": "0"},
            Level.FAIL,
        ),
        ({"connected_slaves": "1", "min_slaves_good_slaves": "0"}, {"min_replicas_to_write": "1"}, Level.FAIL),
        ({}, {"min_replicas_to_write": "1"}, Level.FAIL),
    ],
    ids=["no minimum", "minimum", "minimum turned off by its lag", "replica too far behind", "no replica"],
)
def test_replicas_need_a_minimum_that_is_in_force_and_met(
    info: dict[str, str], config: dict[str, str], standing: Level
) -> None:
    """Else a primary that was cut off goes on, or nothing can be written at all."""
    assert one(of_redis(info, **config), "min-replicas-to-write").level is standing


@pytest.mark.parametrize(
    ("info", "standing"),
    [
        ({"redis_version": "6.2.14"}, Level.FAIL),
        ({"redis_version": "10.0.0"}, Level.OK),
        ({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "7.2.9"}, Level.FAIL),
        ({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "8.0.1"}, Level.OK),
    ],
)
def test_a_version_that_is_too_old_is_off(info: dict[str, str], standing: Level) -> None:
    """Versions are numbers, and Valkey has its own beside Redis'."""
    assert one(of_redis(info), "version").level is standing


def test_a_replica_in_the_place_of_its_primary_is_off() -> None:
    """It takes no write, and the line names where its primary is."""
    found = one(of_redis({"role": "slave", "master_host": "10.0.0.7", "master_port": "6380"}), "role")

    assert found.level is Level.FAIL
    assert "10.0.0.7:6380" in found.change


@pytest.mark.parametrize(("nodes", "standing"), [("3", Level.FAIL), ("1", Level.OK)])
def test_a_cluster_is_off_unless_one_node_holds_every_slot(nodes: str, standing: Level) -> None:
    """One address is asked for all shards, and nobody follows where other nodes are."""
    cluster = {"cluster_size": nodes, "cluster_state": "ok"}
    found = judge_redis(
        RedisConfig(INFO | {"cluster_enabled": "1"}, CONFIG, "", cluster, missing_rights=""), memory_share=0.9
    )

    assert one(found, "cluster-enabled").level is standing


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("synchronous_commit", "off"),
        ("server_encoding", "LATIN1"),
        ("default_transaction_read_only", "on"),
        ("server_version_num", "140010"),
    ],
)
def test_a_postgres_that_may_lose_or_refuse_a_commit_is_off(setting: str, value: str) -> None:
    """Redis trims what the ledger has committed, so that it must be there after any crash."""
    results = of_postgres(**{setting: value})

    off = [finding.setting for finding in results if finding.level is Level.FAIL]
    assert off == [setting.removesuffix("_num")]


@pytest.mark.parametrize("value", ["on", "remote_apply", "remote_write", "local"])
def test_every_commit_that_waits_for_its_own_disk_is_enough(value: str) -> None:
    """These differ in what they wait for elsewhere."""
    assert one(of_postgres(synchronous_commit=value), "synchronous_commit").level is Level.OK


@pytest.mark.parametrize(
    ("source", "change"),
    [
        ("configuration file", "alter system set synchronous_commit = on"),
        ("global", "alter role all reset synchronous_commit"),
        ("database", "alter database holdfast reset synchronous_commit"),
        ("user", "alter role seller reset synchronous_commit"),
        ("database user", "alter role seller in database holdfast reset synchronous_commit"),
        ("client", "HOLDFAST_POSTGRES_DSN"),
        ("command line", "command line"),
    ],
)
def test_a_setting_is_changed_where_it_was_set(source: str, change: str) -> None:
    """What is set for a role or a database stands above the file, where a change would do nothing."""
    assert change in one(of_postgres(source, synchronous_commit="off"), "synchronous_commit").change


def test_a_name_that_sql_would_read_otherwise_is_quoted() -> None:
    """The command can be pasted as it stands."""
    results = of_postgres("database", {"database": "hold-fast"}, synchronous_commit="off")

    assert 'alter database "hold-fast" reset' in one(results, "synchronous_commit").change


@pytest.mark.parametrize(
    ("facts", "setting", "standing"),
    [
        ({"is_standby": True}, "in_recovery", Level.FAIL),
        ({"migration": 0}, "schema version", Level.FAIL),
        ({"migration": SCHEMA + 1}, "schema version", Level.NOTE),
        ({"unlogged": ("journal",)}, "unlogged tables", Level.FAIL),
        ({"other_roles": ("clerk",)}, "synchronous_commit of other roles", Level.NOTE),
        ({"standbys": 1}, "synchronous_standby_names", Level.NOTE),
    ],
)
def test_what_is_no_setting_counts_as_well(facts: dict[str, Any], setting: str, standing: Level) -> None:
    """A standby, old tables, and tables that a crash empties."""
    assert one(of_postgres("default", facts), setting).level is standing


@pytest.mark.parametrize(
    ("level", "standbys", "standing"),
    [("on", 1, Level.OK), ("on", 0, Level.FAIL), ("local", 1, Level.NOTE), ("local", 0, Level.NOTE)],
)
def test_a_standby_that_is_waited_for_must_be_there(level: str, standbys: int, standing: Level) -> None:
    """Else no commit ever ends; where none is waited for, a failover may go back."""
    settings = {"synchronous_standby_names": "second", "synchronous_commit": level}
    results = of_postgres("default", {"standbys": standbys}, **settings)

    assert one(results, "synchronous_standby_names").level is standing


@pytest.mark.parametrize(("timeout_ms", "standing"), [("0", Level.OK), ("200", Level.NOTE), ("60000", Level.OK)])
def test_a_ledger_that_may_be_cut_short_is_a_note(timeout_ms: str, standing: Level) -> None:
    """Nothing is lost by it; a batch that is too large comes again and again."""
    assert one(of_postgres(statement_timeout=timeout_ms), "statement_timeout").level is standing


@pytest.mark.parametrize(("server", "ahead_s"), [("Redis", 3.0), ("Redis", -3.0), ("Postgres", 3.0)])
def test_a_clock_that_is_seconds_off_is_off(server: str, ahead_s: float) -> None:
    """Ahead or behind; the line says how far."""
    found = judge_clock(server, [Reading(100.0, 100.1 + ahead_s, 100.2)])

    assert found.level is Level.FAIL
    assert f"{ahead_s:+.3f} s" in found.value


def test_a_slow_answer_is_no_clock_that_is_off() -> None:
    """Nobody knows when in those six seconds it looked; the quickest answer tells most."""
    slow, quick = Reading(100.0, 105.9, 106.0), Reading(107.0, 107.1, 107.2)

    assert judge_clock("Redis", [slow]).level is Level.OK
    assert judge_clock("Redis", [slow, quick]).value.startswith("+0.000 s")


@pytest.mark.parametrize(
    ("found", "standing"),
    [({4}, Level.OK), ({0, 4}, Level.NOTE), ({0}, Level.NOTE), (set(), Level.NOTE), ({8}, Level.FAIL)],
)
def test_a_server_laid_out_for_another_number_of_shards_is_off(found: set[int], standing: Level) -> None:
    """One that was not laid out yet only lacks its `init`."""
    assert judge_shards("Redis", found, 4).level is standing


def test_the_schema_that_is_asked_for_is_the_one_that_is_made() -> None:
    """The two services share no code, so that each new migration is to be noted here as well."""
    assert migrations()[-1].number == SCHEMA
