"""Checks Redis' settings: what it acknowledges must be on disk, and no key may be evicted."""

from collections.abc import Mapping
from typing import NamedTuple

from inventory_service.server_checks.failover import Failover
from inventory_service.server_checks.results import UNKNOWN_VALUE, CheckResult, Level, ok_or_fail

SERVER = "Redis"
MIN_REDIS, MIN_VALKEY = (7, 0), (8, 0)
SETTINGS = (
    "appendonly",
    "appendfsync",
    "no-appendfsync-on-rewrite",
    "maxmemory",
    "maxmemory-policy",
    "min-replicas-to-write",
    "min-replicas-max-lag",
    "repl-backlog-ttl",
)
RECOMMENDED_LAG_S = "2"
# The INFO fields of settings, for a user who may not run CONFIG GET.
_INFO_NAMES = {"maxmemory": "maxmemory", "maxmemory-policy": "maxmemory_policy"}


class RedisConfig(NamedTuple):
    """What a Redis reports."""

    info: Mapping[str, str]
    config: Mapping[str, str]  # of `SETTINGS`, as far as it reports them
    denied: str  # why it does not report the rest; '' if it does
    cluster: Mapping[str, str]  # CLUSTER INFO; empty unless it is a node of a Cluster
    missing_rights: str  # why this user may not run the scripts; '' if it may


def judge_redis(config: RedisConfig, memory_share: float, failover: Failover) -> list[CheckResult]:
    """One result a setting, the most basic first.

    `memory_share` is the share of `maxmemory` above which Reserve fails with LEDGER_BEHIND.
    """
    return [
        _version(config),
        _rights(config),
        _append_only(config),
        _fsync(config),
        _fsync_on_rewrite(config),
        _eviction(config),
        _memory(config, memory_share),
        _role(config),
        _replicas(config, failover),
        _backlog(config),
        _cluster(config),
    ]


def _version(config: RedisConfig) -> CheckResult:
    is_valkey = config.info.get("server_name") == "valkey"
    name, oldest = ("Valkey", MIN_VALKEY) if is_valkey else ("Redis", MIN_REDIS)
    version = config.info.get("valkey_version" if is_valkey else "redis_version", UNKNOWN_VALUE)
    if version == UNKNOWN_VALUE:
        return CheckResult(SERVER, "version", version, Level.UNKNOWN, "it does not report its version", "")
    too_old = _numbers(version) < oldest
    off = "the scripts are not made for one this old, and no promise was tested on it" if too_old else ""
    return ok_or_fail(
        SERVER, "version", f"{name} {version}", off, "the scripts run on it", "install Redis 7.0, Valkey 8.0 or later"
    )


def _rights(config: RedisConfig) -> CheckResult:
    off = (
        f"the scripts cannot do their work, and nothing is sold: {config.missing_rights}"
        if config.missing_rights
        else ""
    )
    change = "allow this user the scripts: ACL SETUSER ... ~holdfast:* +@read +@write +@scripting"
    shown = "too few" if config.missing_rights else "enough"
    return ok_or_fail(SERVER, "rights", shown, off, "the scripts may do their work", change)


def _append_only(config: RedisConfig) -> CheckResult:
    value = _setting(config, "appendonly")
    if value is None and "aof_enabled" in config.info:
        value = "yes" if config.info["aof_enabled"] == "1" else "no"
    return _judge_config(
        config,
        "appendonly",
        value,
        "yes",
        off="a crash of Redis loses acknowledged reservations, all since its last snapshot: its shards stop serving",
        kept="what Redis acknowledged is still there after it was restarted",
    )


def _fsync(config: RedisConfig) -> CheckResult:
    value = _setting(config, "appendfsync")
    lost = "the last second's" if value == "everysec" else "half a minute's"
    return _judge_config(
        config,
        "appendfsync",
        value,
        "always",
        off=f"a power failure loses {lost} acknowledged reservations",
        kept="a reservation is on disk before it is acknowledged",
    )


def _fsync_on_rewrite(config: RedisConfig) -> CheckResult:
    return _judge_config(
        config,
        "no-appendfsync-on-rewrite",
        _setting(config, "no-appendfsync-on-rewrite"),
        "no",
        off="nothing is synced to disk while the file is rewritten: a power failure then loses what was acknowledged",
        kept="a reservation is on disk before it is acknowledged, also while the file is rewritten",
    )


def _eviction(config: RedisConfig) -> CheckResult:
    value = _setting(config, "maxmemory-policy")
    some = "stock, reservations and commits that the ledger lacks are evicted when memory is full"
    none = "made for a cache: no key is evicted only as long as none has a time to live"
    return _judge_config(
        config,
        "maxmemory-policy",
        value,
        "noeviction",
        off=none if (value or "").startswith("volatile") else some,
        kept="no key is evicted when memory is full",
    )


def _memory(config: RedisConfig, share: float) -> CheckResult:
    value = _setting(config, "maxmemory")
    if value is None:
        return _not_readable(config, "maxmemory")
    limit, used = int(value), int(config.info.get("used_memory", "0"))
    machine = int(config.info.get("total_system_memory", "0"))
    change = _change(config, "maxmemory", "8gb") + " (or whatever this machine can give it)"
    ends = "nothing acknowledged is lost by it, but Reserve does not answer LEDGER_BEHIND before memory ends"
    if limit == 0:
        return CheckResult(SERVER, "maxmemory", "0", Level.NOTE, f"no limit but the machine's: {ends}", change)
    shown = f"{_bytes(limit)}, {100 * used // limit} % used"
    if machine and limit > machine:
        has = f"more than the {_bytes(machine)} that the machine has: {ends}"
        return CheckResult(SERVER, "maxmemory", shown, Level.NOTE, has, change)
    off = ""
    if used >= share * limit:
        off = f"full, with HOLDFAST_MEMORY_SHARE = {share:g}: every new reservation fails with LEDGER_BEHIND"
    return ok_or_fail(SERVER, "maxmemory", shown, off, "Reserve answers LEDGER_BEHIND before memory ends", change)


def _role(config: RedisConfig) -> CheckResult:
    role = config.info.get("role", UNKNOWN_VALUE)
    off = "" if role == "master" else "a replica takes no reservation, and its data may be old"
    primary = ":".join(config.info.get(part, UNKNOWN_VALUE) for part in ("master_host", "master_port"))
    change = f"set HOLDFAST_REDIS_URL to its primary, {primary}"
    return ok_or_fail(SERVER, "role", role, off, "it is the one that takes writes", change)


def _replicas(config: RedisConfig, failover: Failover) -> CheckResult:
    """A maximal lag of 0 turns the minimum off, whatever it is."""
    least, lag = _setting(config, "min-replicas-to-write"), _setting(config, "min-replicas-max-lag")
    replicas = _replica_count(config)
    if replicas == 0 and least in (None, "0"):
        alone = "there is no replica: nothing can fail over to an older state"
        return CheckResult(SERVER, "min-replicas-to-write", least or "0", Level.OK, alone)
    if least is None or lag is None:  # INFO counts the good replicas only where a minimum is in force
        least, lag = ("1 or more", "1 or more") if "min_slaves_good_slaves" in config.info else ("0", UNKNOWN_VALUE)
    shown = f"{least}, with {replicas} {'replica' if replicas == 1 else 'replicas'} and a maximal lag of {lag} s"
    off, change = _replicas_off(config, least, lag, failover)
    kept = f"a primary that was cut off stops within {lag} s; a failover that lost anything is found out, and stops"
    return ok_or_fail(SERVER, "min-replicas-to-write", shown, off, f"{kept} the shards", change)


def _replicas_off(config: RedisConfig, least: str, lag: str, failover: Failover) -> tuple[str, str]:
    """What is wrong with the minimum or the lag, and how to change it; '' if nothing is."""
    sooner = _change(config, "min-replicas-max-lag", RECOMMENDED_LAG_S)
    if least == "0" or lag == "0":
        off = "a primary that was cut off goes on acknowledging reservations which the failover loses"
        return off, _change(config, "min-replicas-to-write", "1") if lag != "0" else sooner
    if config.info.get("min_slaves_good_slaves") == "0" or (least.isdigit() and _replica_count(config) < int(least)):
        return "too few replicas are there: Redis refuses every write", "start its replicas"
    if lag.isdigit() and int(lag) >= failover.after_s:
        promoted = f"a replica may be promoted after {failover.after_s:g} s ({failover.setting})"
        return f"{promoted}, and until a primary that was cut off stops, what it acknowledges is lost", sooner
    return "", ""


def _backlog(config: RedisConfig) -> CheckResult:
    """In seconds; 0 is without end."""
    value = _setting(config, "repl-backlog-ttl")
    if value is None:
        return _not_readable(config, "repl-backlog-ttl")
    if value == "0" or not _replica_count(config):
        kept = "its identity stays the same while replicas are away" if value == "0" else "there is no replica"
        return CheckResult(SERVER, "repl-backlog-ttl", value, Level.OK, kept)
    changes = f"{value} s after its last replica has gone Redis gets a new identity: every shard pauses for a second"
    change = _change(config, "repl-backlog-ttl", "0")
    return CheckResult(SERVER, "repl-backlog-ttl", value, Level.NOTE, changes, change)


def _replica_count(config: RedisConfig) -> int:
    return int(config.info.get("connected_slaves", "0"))


def _cluster(config: RedisConfig) -> CheckResult:
    if config.info.get("cluster_enabled", "0") == "0":
        return CheckResult(SERVER, "cluster-enabled", "no", Level.OK, "one Redis holds every shard")
    nodes, state = config.cluster.get("cluster_size", UNKNOWN_VALUE), config.cluster.get("cluster_state", UNKNOWN_VALUE)
    off = "" if nodes == "1" else "shards whose slots are on other nodes are not served: one address is asked for all"
    if state != "ok":
        off = "the Cluster answers nothing in this state"
    shown = f"yes: {nodes} nodes with slots, state {state}"
    change = "set HOLDFAST_REDIS_URL to a Redis outside of a Cluster, or give this node every slot"
    return ok_or_fail(SERVER, "cluster-enabled", shown, off, "this node holds every shard", change)


def _judge_config(
    config: RedisConfig, setting: str, value: str | None, expected: str, off: str, kept: str
) -> CheckResult:
    if value is None:
        return _not_readable(config, setting)
    return ok_or_fail(
        SERVER, setting, value, "" if value == expected else off, kept, _change(config, setting, expected)
    )


def _not_readable(config: RedisConfig, setting: str) -> CheckResult:
    why = f"Redis does not report it: {config.denied}" if config.denied else "this Redis has no such setting"
    change = "allow this user CONFIG GET: ACL SETUSER ... +config|get" if config.denied else ""
    return CheckResult(SERVER, setting, UNKNOWN_VALUE, Level.UNKNOWN, why, change)


def _setting(config: RedisConfig, setting: str) -> str | None:
    return config.config.get(setting, config.info.get(_INFO_NAMES.get(setting, "")))


def _change(config: RedisConfig, setting: str, value: str) -> str:
    """For now and for the next start: a Redis without a configuration file loses CONFIG SET when it stops."""
    lasting = "CONFIG REWRITE" if config.info.get("config_file") else f"start it with --{setting} {value}"
    return f"CONFIG SET {setting} {value}, then {lasting}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _bytes(count: int) -> str:
    """In the largest unit of which there is at least one."""
    for size, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"
