"""The check of each setting of Redis, of Postgres, and of the clocks: kept, off, or unknown."""

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
    """The results for a Redis with recommended settings except those given."""
    told = {name.replace("_", "-"): value for name, value in config.items()}
    facts = RedisConfig(INFO | dict(info or {}), {} if denied else CONFIG | told, denied, {}, missing_rights="")
    return judge_redis(facts, memory_share=0.9)


def of_postgres(
    source: str = "default", facts: Mapping[str, Any] | None = None, /, **settings: str
) -> list[CheckResult]:
    """The results for a Postgres with recommended settings except those given."""
    reported = {
        name: PostgresSetting(value, source if name in settings else "default")
        for name, value in (SETTINGS | settings).items()
    }
    good = PostgresConfig(reported, "seller", "holdfast", False, 0, SCHEMA, (), ())
    return judge_postgres(good._replace(**(facts or {})))


def one(results: list[CheckResult], setting: str) -> CheckResult:
    """The result of a setting."""
    (found,) = [finding for finding in results if finding.setting == setting]
    return found


def test_recommended_settings_keep_every_promise() -> None:
    """Settings as docs/operations.md recommends them have no finding and nothing to change."""
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
def test_a_setting_by_which_redis_may_lose_data_is_off(setting: str, value: str) -> None:
    """Each of these breaks a promise; the line has the change for now and for the next start."""
    results = of_redis(**{setting.replace("-", "_"): value})

    assert [finding.setting for finding in results if finding.level is Level.FAIL] == [setting]
    assert f"CONFIG SET {setting}" in one(results, setting).change
    assert "CONFIG REWRITE" in one(results, setting).change
    assert exit_code(results) == 1


def test_a_redis_without_a_configuration_file_gets_a_command_line_option() -> None:
    """CONFIG REWRITE has nothing to write to there."""
    change = one(of_redis({"config_file": ""}, appendfsync="no"), "appendfsync").change

    assert "--appendfsync always" in change
    assert "REWRITE" not in change


def test_a_redis_that_denies_config_get_is_judged_by_info() -> None:
    """INFO has whether there is an append-only file and what may be evicted, but not how often the file is synced."""
    results = of_redis({"aof_enabled": "0"}, denied="NOPERM this user has no permissions")

    assert one(results, "appendonly").level is Level.FAIL
    assert one(results, "maxmemory-policy").level is Level.OK
    assert one(results, "appendfsync").level is Level.UNKNOWN
    assert "NOPERM" in one(results, "appendfsync").promise


def test_a_user_who_may_not_run_the_scripts_is_off() -> None:
    """Whatever the other settings are, nothing can be sold."""
    facts = RedisConfig(INFO, CONFIG, denied="", cluster={}, missing_rights="NOPERM")

    found = one(judge_redis(facts, memory_share=0.9), "rights")

    assert found.level is Level.FAIL
    assert "NOPERM" in found.promise
    assert "+@scripting" in found.change


def test_unknown_settings_alone_are_exit_code_2_if_strict() -> None:
    """Managed servers hide settings, so unknown alone is no failure unless --strict is given."""
    results = of_redis(denied="NOPERM")

    assert (exit_code(results), exit_code(results, strict=True)) == (0, 2)


def test_memory_without_a_limit_is_a_note() -> None:
    """Nothing that was acknowledged is lost by it, so no promise is off."""
    assert one(of_redis(maxmemory="0"), "maxmemory").level is Level.NOTE


@pytest.mark.parametrize(
    ("info", "config", "level"),
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
    info: dict[str, str], config: dict[str, str], level: Level
) -> None:
    """Otherwise a primary that was cut off goes on, or nothing can be written at all."""
    assert one(of_redis(info, **config), "min-replicas-to-write").level is level


@pytest.mark.parametrize(
    ("info", "level"),
    [
        ({"redis_version": "6.2.14"}, Level.FAIL),
        ({"redis_version": "10.0.0"}, Level.OK),
        ({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "7.2.9"}, Level.FAIL),
        ({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "8.0.1"}, Level.OK),
    ],
)
def test_a_version_that_is_too_old_is_off(info: dict[str, str], level: Level) -> None:
    """Versions compare as numbers, and Valkey has versions of its own."""
    assert one(of_redis(info), "version").level is level


def test_a_replica_in_the_place_of_its_primary_is_off() -> None:
    """It takes no write, and the line has the address of its primary."""
    found = one(of_redis({"role": "slave", "master_host": "10.0.0.7", "master_port": "6380"}), "role")

    assert found.level is Level.FAIL
    assert "10.0.0.7:6380" in found.change


@pytest.mark.parametrize(("nodes", "level"), [("3", Level.FAIL), ("1", Level.OK)])
def test_a_cluster_is_off_unless_one_node_holds_every_slot(nodes: str, level: Level) -> None:
    """All shards are served at one address, and redirections to other nodes are not followed."""
    cluster = {"cluster_size": nodes, "cluster_state": "ok"}
    found = judge_redis(
        RedisConfig(INFO | {"cluster_enabled": "1"}, CONFIG, "", cluster, missing_rights=""), memory_share=0.9
    )

    assert one(found, "cluster-enabled").level is level


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
def test_a_setting_by_which_postgres_may_lose_or_reject_a_commit_is_off(setting: str, value: str) -> None:
    """Redis trims what the ledger has committed, so a commit must survive any crash."""
    results = of_postgres(**{setting: value})

    off = [finding.setting for finding in results if finding.level is Level.FAIL]
    assert off == [setting.removesuffix("_num")]


@pytest.mark.parametrize("value", ["on", "remote_apply", "remote_write", "local"])
def test_every_level_that_waits_for_the_local_disk_is_kept(value: str) -> None:
    """They differ in what they wait for on standbys."""
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
    """What is set for a role or a database overrides the file, where a change would have no effect."""
    assert change in one(of_postgres(source, synchronous_commit="off"), "synchronous_commit").change


def test_a_name_that_sql_would_read_otherwise_is_quoted() -> None:
    """The command can be pasted as it stands."""
    results = of_postgres("database", {"database": "hold-fast"}, synchronous_commit="off")

    assert 'alter database "hold-fast" reset' in one(results, "synchronous_commit").change


@pytest.mark.parametrize(
    ("facts", "setting", "level"),
    [
        ({"is_standby": True}, "in_recovery", Level.FAIL),
        ({"migration": 0}, "schema version", Level.FAIL),
        ({"migration": SCHEMA + 1}, "schema version", Level.NOTE),
        ({"unlogged": ("journal",)}, "unlogged tables", Level.FAIL),
        ({"other_roles": ("clerk",)}, "synchronous_commit of other roles", Level.NOTE),
        ({"standbys": 1}, "synchronous_standby_names", Level.NOTE),
    ],
)
def test_facts_that_are_no_settings_are_checked_too(facts: dict[str, Any], setting: str, level: Level) -> None:
    """A standby, old tables, and tables that a crash empties."""
    assert one(of_postgres("default", facts), setting).level is level


@pytest.mark.parametrize(
    ("synchronous_commit", "standbys", "level"),
    [("on", 1, Level.OK), ("on", 0, Level.FAIL), ("local", 1, Level.NOTE), ("local", 0, Level.NOTE)],
)
def test_a_standby_that_commits_wait_for_must_be_connected(
    synchronous_commit: str, standbys: int, level: Level
) -> None:
    """Otherwise no commit ends; if commits wait for none, a failover may lose some."""
    settings = {"synchronous_standby_names": "second", "synchronous_commit": synchronous_commit}
    results = of_postgres("default", {"standbys": standbys}, **settings)

    assert one(results, "synchronous_standby_names").level is level


@pytest.mark.parametrize(("timeout_ms", "level"), [("0", Level.OK), ("200", Level.NOTE), ("60000", Level.OK)])
def test_a_short_statement_timeout_is_a_note(timeout_ms: str, level: Level) -> None:
    """Nothing is lost by it, but a large batch may fail each time."""
    assert one(of_postgres(statement_timeout=timeout_ms), "statement_timeout").level is level


@pytest.mark.parametrize(("server", "ahead_s"), [("Redis", 3.0), ("Redis", -3.0), ("Postgres", 3.0)])
def test_a_clock_that_is_seconds_off_is_off(server: str, ahead_s: float) -> None:
    """Ahead or behind; the line has the difference."""
    found = judge_clock(server, [Reading(100.0, 100.1 + ahead_s, 100.2)])

    assert found.level is Level.FAIL
    assert f"{ahead_s:+.3f} s" in found.value


def test_a_slow_answer_does_not_make_a_clock_off() -> None:
    """The clock was read at an unknown moment of those six seconds, so the quickest answer counts."""
    slow, quick = Reading(100.0, 105.9, 106.0), Reading(107.0, 107.1, 107.2)

    assert judge_clock("Redis", [slow]).level is Level.OK
    assert judge_clock("Redis", [slow, quick]).value.startswith("+0.000 s")


@pytest.mark.parametrize(
    ("found", "level"),
    [({4}, Level.OK), ({0, 4}, Level.NOTE), ({0}, Level.NOTE), (set(), Level.NOTE), ({8}, Level.FAIL)],
)
def test_a_server_initialized_for_another_number_of_shards_is_off(found: set[int], level: Level) -> None:
    """One that was not initialized yet only needs `holdfast init`."""
    assert judge_shards("Redis", found, 4).level is level


def test_the_schema_that_the_check_expects_is_the_latest_migration() -> None:
    """The two services share no code, so each new migration must raise `SCHEMA` too."""
    assert migrations()[-1].number == SCHEMA
