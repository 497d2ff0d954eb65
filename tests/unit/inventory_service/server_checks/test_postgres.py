"""The check of each setting of Postgres: kept, off, or a note."""

from collections.abc import Mapping
from typing import Any

import pytest

from inventory_service.server_checks.postgres import SCHEMA, PostgresConfig, PostgresSetting, judge_postgres
from inventory_service.server_checks.results import CheckResult, Level, exit_code
from order_persister.adapters.ledger.migrator import migrations
from tests.unit.inventory_service.server_checks.one_result import one

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


def test_recommended_settings_keep_every_promise() -> None:
    """Settings as docs/operations.md recommends them have no result and nothing to change."""
    results = of_postgres()

    assert {result.level for result in results} == {Level.OK}
    assert not any(result.change for result in results)
    assert exit_code(results) == 0


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

    off = [result.setting for result in results if result.level is Level.FAIL]
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


def test_the_schema_that_the_check_expects_is_the_latest_migration() -> None:
    """The two services share no code, so each new migration must raise `SCHEMA` too."""
    assert migrations()[-1].number == SCHEMA
