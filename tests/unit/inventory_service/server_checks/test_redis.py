"""The check of each setting of Redis: kept, off, or unknown."""

from collections.abc import Mapping

import pytest

from inventory_service.server_checks.failover import Failover
from inventory_service.server_checks.redis import RedisConfig, judge_redis
from inventory_service.server_checks.results import CheckResult, Level, exit_code
from tests.unit.inventory_service.server_checks.one_result import one

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
    "min-replicas-max-lag": "2",
    "repl-backlog-ttl": "3600",
}
FAILOVER = Failover(5, "HOLDFAST_REDIS_FAILOVER_S")


def of_redis(info: Mapping[str, str] | None = None, /, denied: str = "", **config: str) -> list[CheckResult]:
    """The results for a Redis with recommended settings except those given."""
    changed = {name.replace("_", "-"): value for name, value in config.items()}
    facts = RedisConfig(INFO | dict(info or {}), {} if denied else CONFIG | changed, denied, {}, missing_rights="")
    return judge_redis(facts, memory_share=0.9, failover=FAILOVER)


def test_recommended_settings_keep_every_promise() -> None:
    """Settings as docs/operations.md recommends them have no result and nothing to change."""
    results = of_redis()

    assert {result.level for result in results} == {Level.OK}
    assert not any(result.change for result in results)
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

    assert [result.setting for result in results if result.level is Level.FAIL] == [setting]
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

    found = one(judge_redis(facts, memory_share=0.9, failover=FAILOVER), "rights")

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


@pytest.mark.parametrize(("lag", "level"), [("4", Level.OK), ("5", Level.FAIL), ("10", Level.FAIL)])
def test_a_primary_must_stop_before_its_replica_is_promoted(lag: str, level: Level) -> None:
    """Else both acknowledge reservations meanwhile, and what the old one took is lost."""
    replicas = {"connected_slaves": "1", "min_slaves_good_slaves": "1"}
    found = one(of_redis(replicas, min_replicas_to_write="1", min_replicas_max_lag=lag), "min-replicas-to-write")

    assert found.level is level
    if level is Level.FAIL:
        assert "CONFIG SET min-replicas-max-lag 2" in found.change
        assert "HOLDFAST_REDIS_FAILOVER_S" in found.promise


@pytest.mark.parametrize(
    ("replicas", "ttl", "level"), [("0", "3600", Level.OK), ("1", "3600", Level.NOTE), ("1", "0", Level.OK)]
)
def test_a_primary_keeps_its_backlog_while_replicas_are_away(replicas: str, ttl: str, level: Level) -> None:
    """Its identity changes when it frees the backlog, and each shard is taken over."""
    assert one(of_redis({"connected_slaves": replicas}, repl_backlog_ttl=ttl), "repl-backlog-ttl").level is level


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
        RedisConfig(INFO | {"cluster_enabled": "1"}, CONFIG, "", cluster, missing_rights=""),
        memory_share=0.9,
        failover=FAILOVER,
    )

    assert one(found, "cluster-enabled").level is level
