"""Judge Redis' settings: what it acknowledges must be on disk, and nothing may be dropped to make room."""

from collections.abc import Mapping
from typing import NamedTuple

from inventory_service.server_checks.results import UNKNOWN_VALUE, CheckResult, Level, judged

SERVER = "Redis"
OLDEST_REDIS, OLDEST_VALKEY = (7, 0), (8, 0)
ASKED = (
    "appendonly",
    "appendfsync",
    "no-appendfsync-on-rewrite",
    "maxmemory",
    "maxmemory-policy",
    "min-replicas-to-write",
    "min-replicas-max-lag",
)
# What INFO tells of a setting to whoever may not ask CONFIG for it.
_ALSO_TOLD = {"maxmemory": "maxmemory", "maxmemory-policy": "maxmemory_policy"}


class RedisConfig(NamedTuple):
    """What a Redis said of itself."""

    info: Mapping[str, str]
    config: Mapping[str, str]  # of `ASKED`, as far as it told
    denied: str  # why it did not tell the rest; '' if it told
    cluster: Mapping[str, str]  # CLUSTER INFO; empty unless it is a node of a Cluster
    refused: str  # why our user may not do what the scripts do; '' if he may


def judge_redis(facts: RedisConfig, memory_share: float) -> list[CheckResult]:
    """One finding a setting, in the order in which a person would ask.

    `memory_share` is that of `maxmemory` from which on Reserve hears LEDGER_BEHIND.
    """
    return [
        _version(facts),
        _rights(facts),
        _append_only(facts),
        _fsync(facts),
        _fsync_on_rewrite(facts),
        _eviction(facts),
        _memory(facts, memory_share),
        _role(facts),
        _replicas(facts),
        _cluster(facts),
    ]


def _version(facts: RedisConfig) -> CheckResult:
    is_valkey = facts.info.get("server_name") == "valkey"
    name, oldest = ("Valkey", OLDEST_VALKEY) if is_valkey else ("Redis", OLDEST_REDIS)
    version = facts.info.get("valkey_version" if is_valkey else "redis_version", UNKNOWN_VALUE)
    if version == UNKNOWN_VALUE:
        return CheckResult(SERVER, "version", version, Level.UNKNOWN, "it does not say which", "")
    too_old = _numbers(version) < oldest
    off = "the scripts are not made for one this old, and no promise was tested on it" if too_old else ""
    return judged(
        SERVER, "version", f"{name} {version}", off, "the scripts run on it", "install Redis 7.0, Valkey 8.0 or later"
    )


def _rights(facts: RedisConfig) -> CheckResult:
    off = f"the scripts cannot do their work, and nothing is sold: {facts.refused}" if facts.refused else ""
    change = "let this user work: ACL SETUSER ... ~holdfast:* +@read +@write +@scripting"
    shown = "too few" if facts.refused else "enough"
    return judged(SERVER, "rights", shown, off, "the scripts may do their work", change)


def _append_only(facts: RedisConfig) -> CheckResult:
    value = _setting(facts, "appendonly")
    if value is None and "aof_enabled" in facts.info:
        value = "yes" if facts.info["aof_enabled"] == "1" else "no"
    return _judge_config(
        facts,
        "appendonly",
        value,
        "yes",
        off="a crash of Redis loses acknowledged reservations, all since its last snapshot: its shards stop serving",
        kept="what Redis acknowledged is still there after it was restarted",
    )


def _fsync(facts: RedisConfig) -> CheckResult:
    value = _setting(facts, "appendfsync")
    lost = "the last second's" if value == "everysec" else "half a minute's"
    return _judge_config(
        facts,
        "appendfsync",
        value,
        "always",
        off=f"a power failure loses {lost} acknowledged reservations",
        kept="a reservation is on disk before it is acknowledged",
    )


def _fsync_on_rewrite(facts: RedisConfig) -> CheckResult:
    return _judge_config(
        facts,
        "no-appendfsync-on-rewrite",
        _setting(facts, "no-appendfsync-on-rewrite"),
        "no",
        off="nothing is synced to disk while the file is rewritten: a power failure then loses what was acknowledged",
        kept="a reservation is on disk before it is acknowledged, also while the file is rewritten",
    )


def _eviction(facts: RedisConfig) -> CheckResult:
    value = _setting(facts, "maxmemory-policy")
    some = "stock, reservations and what the ledger still lacks are dropped when memory is full"
    none = "made for a cache: nothing of ours is dropped only as long as none of our keys has a time to live"
    return _judge_config(
        facts,
        "maxmemory-policy",
        value,
        "noeviction",
        off=none if (value or "").startswith("volatile") else some,
        kept="nothing is ever dropped to make room",
    )


def _memory(facts: RedisConfig, share: float) -> CheckResult:
    value = _setting(facts, "maxmemory")
    if value is None:
        return _untold(facts, "maxmemory")
    limit, used = int(value), int(facts.info.get("used_memory", "0"))
    machine = int(facts.info.get("total_system_memory", "0"))
    change = _change(facts, "maxmemory", "8gb") + " (or whatever this machine can give it)"
    ends = "nothing acknowledged is lost by it, but Reserve is not told to wait before memory ends"
    if limit == 0:
        return CheckResult(SERVER, "maxmemory", "0", Level.NOTE, f"no limit but the machine's: {ends}", change)
    shown = f"{_bytes(limit)}, {100 * used // limit} % used"
    if machine and limit > machine:
        has = f"more than the {_bytes(machine)} that the machine has: {ends}"
        return CheckResult(SERVER, "maxmemory", shown, Level.NOTE, has, change)
    off = ""
    if used >= share * limit:
        off = f"full, with HOLDFAST_MEMORY_SHARE = {share:g}: every new reservation hears LEDGER_BEHIND"
    return judged(SERVER, "maxmemory", shown, off, "Reserve answers LEDGER_BEHIND before memory ends", change)


def _role(facts: RedisConfig) -> CheckResult:
    role = facts.info.get("role", UNKNOWN_VALUE)
    off = "" if role == "master" else "a replica takes no reservation, and what it tells may be old"
    primary = ":".join(facts.info.get(part, UNKNOWN_VALUE) for part in ("master_host", "master_port"))
    change = f"set HOLDFAST_REDIS_URL to its primary, {primary}"
    return judged(SERVER, "role", role, off, "it is the one that takes writes", change)


def _replicas(facts: RedisConfig) -> CheckResult:
    """A maximal lag of 0 turns the minimum off, whatever it is."""
    least, lag = _setting(facts, "min-replicas-to-write"), _setting(facts, "min-replicas-max-lag")
    replicas = int(facts.info.get("connected_slaves", "0"))
    if replicas == 0 and least in (None, "0"):
        alone = "there is no replica: nothing can fail over to an older state"
        return CheckResult(SERVER, "min-replicas-to-write", least or "0", Level.OK, alone)
    if least is None or lag is None:  # INFO counts the good replicas only where a minimum is in force
        least, lag = ("1 or more", "1 or more") if "min_slaves_good_slaves" in facts.info else ("0", UNKNOWN_VALUE)
    shown = f"{least}, with {replicas} {'replica' if replicas == 1 else 'replicas'} and a maximal lag of {lag} s"
    change = _change(facts, "min-replicas-to-write", "1")
    off = ""
    if least == "0" or lag == "0":
        off = "a primary that was cut off goes on acknowledging reservations which the failover loses"
        change = change if lag != "0" else _change(facts, "min-replicas-max-lag", "10")
    elif facts.info.get("min_slaves_good_slaves") == "0" or (least.isdigit() and replicas < int(least)):
        off, change = "too few replicas are there: Redis refuses every write", "start its replicas"
    kept = f"a primary that was cut off stops within {lag} s; a failover that lost anything is found out, and stops"
    return judged(SERVER, "min-replicas-to-write", shown, off, f"{kept} the shards", change)


def _cluster(facts: RedisConfig) -> CheckResult:
    if facts.info.get("cluster_enabled", "0") == "0":
        return CheckResult(SERVER, "cluster-enabled", "no", Level.OK, "one Redis holds every shard")
    nodes, state = facts.cluster.get("cluster_size", UNKNOWN_VALUE), facts.cluster.get("cluster_state", UNKNOWN_VALUE)
    off = "" if nodes == "1" else "shards whose slots are on other nodes are not served: one address is asked for all"
    if state != "ok":
        off = "the Cluster answers nothing in this state"
    shown = f"yes: {nodes} nodes with slots, state {state}"
    change = "set HOLDFAST_REDIS_URL to a Redis outside of a Cluster, or give this node every slot"
    return judged(SERVER, "cluster-enabled", shown, off, "this node holds every shard", change)


def _judge_config(facts: RedisConfig, setting: str, value: str | None, wanted: str, off: str, kept: str) -> CheckResult:
    if value is None:
        return _untold(facts, setting)
    return judged(SERVER, setting, value, "" if value == wanted else off, kept, _change(facts, setting, wanted))


def _untold(facts: RedisConfig, setting: str) -> CheckResult:
    why = f"Redis does not tell: {facts.denied}" if facts.denied else "this Redis knows no such setting"
    change = "let this user ask: ACL SETUSER ... +config|get" if facts.denied else ""
    return CheckResult(SERVER, setting, UNKNOWN_VALUE, Level.UNKNOWN, why, change)


def _setting(facts: RedisConfig, setting: str) -> str | None:
    return facts.config.get(setting, facts.info.get(_ALSO_TOLD.get(setting, "")))


def _change(facts: RedisConfig, setting: str, value: str) -> str:
    """For now and for the next start: a Redis that has no file forgets what it was told."""
    lasting = "CONFIG REWRITE" if facts.info.get("config_file") else f"start it with --{setting} {value}"
    return f"CONFIG SET {setting} {value}, then {lasting}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _bytes(count: int) -> str:
    """In the largest unit of which there is one at least."""
    for size, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"
