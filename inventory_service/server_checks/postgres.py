"""Checks Postgres' settings: a commit of the ledger must survive, for Redis trims what the ledger has."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from inventory_service.server_checks.results import CheckResult, Level, ok_or_fail

SERVER = "Postgres"
MIN_VERSION = 15
SCHEMA = 1  # the last of the persister's migrations that this service's queries need
SETTINGS = (
    "server_version",
    "server_version_num",
    "server_encoding",
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "synchronous_standby_names",
    "default_transaction_read_only",
    "statement_timeout",
)
MIN_TIMEOUT_MS = 60_000  # the persister's own limit for a statement
_SYNCED = ("on", "remote_apply", "remote_write", "local")


class PostgresSetting(NamedTuple):
    """One setting as it is in a session, and its source in Postgres' own words."""

    value: str
    source: str


class PostgresConfig(NamedTuple):
    """What a Postgres reports to the user and in the database of the DSN."""

    settings: Mapping[str, PostgresSetting]  # of `SETTINGS`
    user: str
    database: str
    is_standby: bool
    standbys: int
    migration: int  # the last one; 0: none
    unlogged: Sequence[str]  # tables of the ledger whose rows do not survive a crash
    other_roles: Sequence[str]  # roles with a synchronous_commit of their own that is off, here or everywhere


def judge_postgres(config: PostgresConfig) -> list[CheckResult]:
    """One result a setting, the most basic first."""
    return [
        _version(config),
        _writable(config),
        _schema(config),
        _encoding(config),
        _on(config, "fsync", "what it committed is on disk"),
        _on(config, "full_page_writes", "a page that was half written when the power failed is repaired"),
        _synchronous_commit(config),
        _other_roles(config),
        _standbys(config),
        _statement_timeout(config),
        _unlogged(config),
    ]


def _version(config: PostgresConfig) -> CheckResult:
    shown, number = config.settings["server_version"].value, int(config.settings["server_version_num"].value)
    off = "no promise was tested on one this old" if number < MIN_VERSION * 10_000 else ""
    return ok_or_fail(
        SERVER,
        "server_version",
        shown,
        off,
        "the promises are tested on it",
        f"install PostgreSQL {MIN_VERSION} or later",
    )


def _writable(config: PostgresConfig) -> CheckResult:
    setting = config.settings["default_transaction_read_only"]
    if config.is_standby:
        off, change = "a standby takes no commit", "set HOLDFAST_POSTGRES_DSN to its primary"
        return CheckResult(SERVER, "in_recovery", "on", Level.FAIL, off, change)
    off = "" if setting.value == "off" else "the ledger takes no commit"
    change = _change(config, "default_transaction_read_only", "off")
    return ok_or_fail(SERVER, "default_transaction_read_only", setting.value, off, "the ledger takes commits", change)


def _schema(config: PostgresConfig) -> CheckResult:
    setting, shown = "schema version", str(config.migration)
    if config.migration > SCHEMA:
        newer = f"made by a newer Holdfast than this one, which knows {SCHEMA}; what is added is only added"
        return CheckResult(SERVER, setting, shown, Level.NOTE, newer, "bring every process up to the newer one")
    off = "" if config.migration == SCHEMA else f"tables are missing or old: this version needs {SCHEMA}"
    return ok_or_fail(
        SERVER, setting, shown, off, "the tables are as this version wants them", "run `holdfast migrate`"
    )


def _encoding(config: PostgresConfig) -> CheckResult:
    value = config.settings["server_encoding"].value
    off = "" if value == "UTF8" else "an order with a letter that it cannot spell is refused for good"
    change = f"make the database anew: create database {config.database} encoding 'UTF8' template template0"
    return ok_or_fail(
        SERVER, "server_encoding", value, off, "every letter in a note or title can be written down", change
    )


def _on(config: PostgresConfig, setting: str, promise: str) -> CheckResult:
    value = config.settings[setting].value
    off = "" if value == "on" else "a power failure loses or corrupts what Redis has trimmed: the shards freeze"
    return ok_or_fail(SERVER, setting, value, off, promise, _change(config, setting, "on"))


def _synchronous_commit(config: PostgresConfig) -> CheckResult:
    setting = config.settings["synchronous_commit"]
    off = "" if setting.value in _SYNCED else "a crash loses commits that Redis has trimmed: the shards freeze"
    kept = "a commit is on disk before the persister reports it"
    return ok_or_fail(
        SERVER, "synchronous_commit", _shown(setting), off, kept, _change(config, "synchronous_commit", "on")
    )


def _other_roles(config: PostgresConfig) -> CheckResult:
    """Another process may use another role than this one."""
    setting = "synchronous_commit of other roles"
    if not config.other_roles:
        return CheckResult(SERVER, setting, "none", Level.OK, "none has it turned off for itself")
    roles = ", ".join(config.other_roles)
    once = "a persister that runs as one of them loses in a crash what Redis has trimmed"
    change = "; ".join(f"alter role {_quoted(role)} reset synchronous_commit" for role in config.other_roles)
    return CheckResult(SERVER, setting, f"off for {roles}", Level.NOTE, once, change)


def _standbys(config: PostgresConfig) -> CheckResult:
    names, level = config.settings["synchronous_standby_names"], config.settings["synchronous_commit"].value
    setting, shown = "synchronous_standby_names", names.value or "''"
    if not config.standbys and not names.value:
        return CheckResult(SERVER, setting, shown, Level.OK, "there is no standby: nothing can fail over to less")
    waits = bool(names.value) and level not in ("local", "off")
    if waits and not config.standbys:
        stalled = "every commit waits for a standby, and none is connected: the ledger stands still"
        change = "start a standby of that name, or empty synchronous_standby_names until there is one"
        return CheckResult(SERVER, setting, shown, Level.FAIL, stalled, change)
    if waits:
        return CheckResult(SERVER, setting, shown, Level.OK, "a failover to such a standby finds every commit there")
    less = "a failover may find less in the ledger: the shards freeze until the persister has read Kafka again"
    change = "name the standbys in synchronous_standby_names and set synchronous_commit to on"
    return CheckResult(SERVER, setting, f"{shown}, {config.standbys} standbys", Level.NOTE, less, change)


def _statement_timeout(config: PostgresConfig) -> CheckResult:
    """In milliseconds; 0 is without end."""
    setting = config.settings["statement_timeout"]
    if 0 < int(setting.value) < MIN_TIMEOUT_MS:
        short = "a large batch may never have the time that it takes: the ledger then stands still"
        change = _change(config, "statement_timeout", "0")
        return CheckResult(SERVER, "statement_timeout", f"{_shown(setting)} ms", Level.NOTE, short, change)
    return CheckResult(SERVER, "statement_timeout", f"{setting.value} ms", Level.OK, "a batch has the time it takes")


def _unlogged(config: PostgresConfig) -> CheckResult:
    off = "a crash empties these tables, and Redis has trimmed what they held" if config.unlogged else ""
    change = "; ".join(f"alter table {_quoted(table)} set logged" for table in config.unlogged)
    shown = ", ".join(config.unlogged) or "none"
    return ok_or_fail(SERVER, "unlogged tables", shown, off, "every table survives a crash", change)


def _shown(setting: PostgresSetting) -> str:
    where = {
        "global": "rule for all roles",
        "database": "database",
        "user": "role",
        "database user": "role in this database",
        "client": "DSN",
        "command line": "server's command line",
    }
    return f"{setting.value} (set by the {where[setting.source]})" if setting.source in where else setting.value


def _change(config: PostgresConfig, setting: str, value: str) -> str:
    """Where it is set, it must be changed: what is set for a role or on the command line stands above the file."""
    user, database = _quoted(config.user), _quoted(config.database)
    return {
        "global": f"alter role all reset {setting}",
        "database": f"alter database {database} reset {setting}",
        "user": f"alter role {user} reset {setting}",
        "database user": f"alter role {user} in database {database} reset {setting}",
        "client": f"take {setting} out of HOLDFAST_POSTGRES_DSN",
        "command line": f"start Postgres without {setting} on its command line, or with {setting}={value}",
    }.get(config.settings[setting].source, f"alter system set {setting} = {value}; select pg_reload_conf()")


def _quoted(name: str) -> str:
    return name if name.isidentifier() and name == name.lower() else '"' + name.replace('"', '""') + '"'
