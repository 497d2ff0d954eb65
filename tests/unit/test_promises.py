"""What is said of each setting of Redis, Postgres and the clocks: kept, off, or not to be known."""

from collections.abc import Mapping
from typing import Any

import pytest

from inventory_service.domain.promises.clocks import Reading, judge_clock
from inventory_service.domain.promises.findings import Finding, Standing, exit_code
from inventory_service.domain.promises.postgres import SCHEMA, PostgresFacts, Set, judge_postgres
from inventory_service.domain.promises.redis import RedisFacts, judge_redis
from inventory_service.domain.promises.shards import judge_shards
from order_persister.ledger.migrator import migrations

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


def of_redis(info: Mapping[str, str] | None = None, /, denied: str = "", **config: str) -> list[Finding]:
    """What is said of a Redis that is as it should be, but for this."""
    told = {name.replace("_", "-"): value for name, value in config.items()}
    facts = RedisFacts(INFO | dict(info or {}), {} if denied else CONFIG | told, denied, {}, refused="")
    return judge_redis(facts, memory_share=0.9)


def of_postgres(source: str = "default", facts: Mapping[str, Any] | None = None, /, **settings: str) -> list[Finding]:
    """What is said of a Postgres that is as it should be, but for this."""
    told = {
        name: Set(value, source if name in settings else "default") for name, value in (SETTINGS | settings).items()
    }
    good = PostgresFacts(told, "seller", "holdfast", False, 0, SCHEMA, (), ())
    return judge_postgres(good._replace(**(facts or {})))


def one(findings: list[Finding], setting: str) -> Finding:
    """The finding of a setting."""
    (found,) = [finding for finding in findings if finding.setting == setting]
    return found


def test_servers_as_they_should_be_keep_every_promise() -> None:
    """Whoever followed the operations page hears no complaint, and has nothing to change."""
    findings = [*of_redis(), *of_postgres()]

    assert {finding.standing for finding in findings} == {Standing.KEPT}
    assert not any(finding.change for finding in findings)
    assert exit_code(findings) == 0


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
    findings = of_redis(**{setting.replace("-", "_"): value})

    assert [finding.setting for finding in findings if finding.standing is Standing.OFF] == [setting]
    assert f"CONFIG SET {setting}" in one(findings, setting).change
    assert "CONFIG REWRITE" in one(findings, setting).change
    assert exit_code(findings) == 1


def test_a_redis_without_a_file_is_told_how_to_start_next_time() -> None:
    """CONFIG REWRITE has nothing to write to there."""
    change = one(of_redis({"config_file": ""}, appendfsync="no"), "appendfsync").change

    assert "--appendfsync always" in change
    assert "REWRITE" not in change


def test_a_redis_that_may_not_be_asked_is_judged_by_what_it_tells_anyway() -> None:
    """INFO knows whether there is a file and what may be evicted; how often the file is synced, nobody may guess."""
    findings = of_redis({"aof_enabled": "0"}, denied="NOPERM this user has no permissions")

    assert one(findings, "appendonly").standing is Standing.OFF
    assert one(findings, "maxmemory-policy").standing is Standing.KEPT
    assert one(findings, "appendfsync").standing is Standing.UNKNOWN
    assert "NOPERM" in one(findings, "appendfsync").promise


def test_a_user_who_may_not_run_the_scripts_is_off() -> None:
    """All else may be as it should: nothing is sold."""
    facts = RedisFacts(INFO, CONFIG, denied="", cluster={}, refused="NOPERM")

    found = one(judge_redis(facts, memory_share=0.9), "rights")

    assert found.standing is Standing.OFF
    assert "NOPERM" in found.promise
    assert "+@scripting" in found.change


def test_what_is_unknown_alone_ends_with_2() -> None:
    """A script must not take a silent server for a good one."""
    assert exit_code(of_redis(denied="NOPERM")) == 2


def test_memory_without_a_limit_is_a_note() -> None:
    """Nothing that was acknowledged is lost by it, so that no promise is off."""
    assert one(of_redis(maxmemory="0"), "maxmemory").standing is Standing.NOTE


@pytest.mark.parametrize(
    ("info", "config", "standing"),
    [
        ({"connected_slaves": "1"}, {}, Standing.OFF),
        ({"connected_slaves": "1", "min_slaves_good_slaves": "1"}, {"min_replicas_to_write": "1"}, Standing.KEPT),
        (
            {"connected_slaves": "1"},
            {"min_replicas_to_write": "1", "min_replicas_max_lag": "0"},
            Standing.OFF,
        ),
        ({"connected_slaves": "1", "min_slaves_good_slaves": "0"}, {"min_replicas_to_write": "1"}, Standing.OFF),
        ({}, {"min_replicas_to_write": "1"}, Standing.OFF),
    ],
    ids=["no minimum", "minimum", "minimum turned off by its lag", "replica too far behind", "no replica"],
)
def test_replicas_need_a_minimum_that_is_in_force_and_met(
    info: dict[str, str], config: dict[str, str], standing: Standing
) -> None:
    """Else a primary that was cut off goes on, or nothing can be written at all."""
    assert one(of_redis(info, **config), "min-replicas-to-write").standing is standing


@pytest.mark.parametrize(
    ("info", "standing"),
    [
        ({"redis_version": "6.2.14"}, Standing.OFF),
        ({"redis_version": "10.0.0"}, Standing.KEPT),
        ({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "7.2.9"}, Standing.OFF),
        ({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "8.0.1"}, Standing.KEPT),
    ],
)
def test_a_version_that_is_too_old_is_off(info: dict[str, str], standing: Standing) -> None:
    """Versions are numbers, and Valkey has its own beside Redis'."""
    assert one(of_redis(info), "version").standing is standing


def test_a_replica_in_the_place_of_its_primary_is_off() -> None:
    """It takes no write, and the line names where its primary is."""
    found = one(of_redis({"role": "slave", "master_host": "10.0.0.7", "master_port": "6380"}), "role")

    assert found.standing is Standing.OFF
    assert "10.0.0.7:6380" in found.change


@pytest.mark.parametrize(("nodes", "standing"), [("3", Standing.OFF), ("1", Standing.KEPT)])
def test_a_cluster_is_off_unless_one_node_holds_every_slot(nodes: str, standing: Standing) -> None:
    """One address is asked for all shards, and nobody follows where other nodes are."""
    cluster = {"cluster_size": nodes, "cluster_state": "ok"}
    found = judge_redis(RedisFacts(INFO | {"cluster_enabled": "1"}, CONFIG, "", cluster, refused=""), memory_share=0.9)

    assert one(found, "cluster-enabled").standing is standing


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
    findings = of_postgres(**{setting: value})

    off = [finding.setting for finding in findings if finding.standing is Standing.OFF]
    assert off == [setting.removesuffix("_num")]


@pytest.mark.parametrize("value", ["on", "remote_apply", "remote_write", "local"])
def test_every_commit_that_waits_for_its_own_disk_is_enough(value: str) -> None:
    """These differ in what they wait for elsewhere."""
    assert one(of_postgres(synchronous_commit=value), "synchronous_commit").standing is Standing.KEPT


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
    findings = of_postgres("database", {"database": "hold-fast"}, synchronous_commit="off")

    assert 'alter database "hold-fast" reset' in one(findings, "synchronous_commit").change


@pytest.mark.parametrize(
    ("facts", "setting", "standing"),
    [
        ({"is_standby": True}, "in_recovery", Standing.OFF),
        ({"migration": 0}, "schema version", Standing.OFF),
        ({"migration": SCHEMA + 1}, "schema version", Standing.NOTE),
        ({"unlogged": ("journal",)}, "unlogged tables", Standing.OFF),
        ({"others": ("clerk",)}, "synchronous_commit of other roles", Standing.NOTE),
        ({"standbys": 1}, "synchronous_standby_names", Standing.NOTE),
    ],
)
def test_what_is_no_setting_counts_as_well(facts: dict[str, Any], setting: str, standing: Standing) -> None:
    """A standby, old tables, and tables that a crash empties."""
    assert one(of_postgres("default", facts), setting).standing is standing


@pytest.mark.parametrize(
    ("level", "standbys", "standing"),
    [("on", 1, Standing.KEPT), ("on", 0, Standing.OFF), ("local", 1, Standing.NOTE), ("local", 0, Standing.NOTE)],
)
def test_a_standby_that_is_waited_for_must_be_there(level: str, standbys: int, standing: Standing) -> None:
    """Else no commit ever ends; where none is waited for, a failover may go back."""
    settings = {"synchronous_standby_names": "second", "synchronous_commit": level}
    findings = of_postgres("default", {"standbys": standbys}, **settings)

    assert one(findings, "synchronous_standby_names").standing is standing


@pytest.mark.parametrize(
    ("timeout_ms", "standing"), [("0", Standing.KEPT), ("200", Standing.NOTE), ("60000", Standing.KEPT)]
)
def test_a_ledger_that_may_be_cut_short_is_a_note(timeout_ms: str, standing: Standing) -> None:
    """Nothing is lost by it; a batch that is too large comes again and again."""
    assert one(of_postgres(statement_timeout=timeout_ms), "statement_timeout").standing is standing


@pytest.mark.parametrize(("server", "ahead_s"), [("Redis", 3.0), ("Redis", -3.0), ("Postgres", 3.0)])
def test_a_clock_that_is_seconds_off_is_off(server: str, ahead_s: float) -> None:
    """Ahead or behind; the line says how far."""
    found = judge_clock(server, [Reading(100.0, 100.1 + ahead_s, 100.2)])

    assert found.standing is Standing.OFF
    assert f"{ahead_s:+.3f} s" in found.value


def test_a_slow_answer_is_no_clock_that_is_off() -> None:
    """Nobody knows when in those six seconds it looked; the quickest answer tells most."""
    slow, quick = Reading(100.0, 105.9, 106.0), Reading(107.0, 107.1, 107.2)

    assert judge_clock("Redis", [slow]).standing is Standing.KEPT
    assert judge_clock("Redis", [slow, quick]).value.startswith("+0.000 s")


@pytest.mark.parametrize(
    ("found", "standing"),
    [({4}, Standing.KEPT), ({0, 4}, Standing.NOTE), ({0}, Standing.NOTE), (set(), Standing.NOTE), ({8}, Standing.OFF)],
)
def test_a_server_laid_out_for_another_number_of_shards_is_off(found: set[int], standing: Standing) -> None:
    """One that was not laid out yet only lacks its `init`."""
    assert judge_shards("Redis", found, 4).standing is standing


def test_the_schema_that_is_asked_for_is_the_one_that_is_made() -> None:
    """The two services share no code, so that each new migration is to be noted here as well."""
    assert migrations()[-1].number == SCHEMA
