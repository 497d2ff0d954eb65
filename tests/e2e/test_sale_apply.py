"""`holdfast sale apply` against a whole stack: sales become what a file says, and a second run changes nothing."""

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Running
from tests.e2e.shell import run
from tests.stacks import shell_environment

FIRST = """\
sales:
  - sale_id: apply-lamps
    title: Lamps
    start_time: {later}
    end_time:
    hold_ttl: 0.5s
    max_hold_ttl: 1h
    buyer_limit: 4
    attempts_per_minute: 30
    return_window: 14d
    items:
      - {{sku: lamp, total: 100, buyer_limit: 2}}
      - {{sku: shade, total: 20}}
  - sale_id: apply-bulbs
    hold_ttl: ~
    max_hold_ttl: ~
    start_time: ~
    items: [{{sku: bulb, total: 5}}]
    state: paused
"""
SECOND = """\
sales:
  - sale_id: apply-lamps
    title: ~
    start_time: {now}
    end_time: {later}
    hold_ttl: 1m30s
    max_hold_ttl: ~
    buyer_limit: ~
    attempts_per_minute: ~
    return_window: ~
    items:
      - {{sku: lamp, total: 90, buyer_limit: 2}}
      - {{sku: stand, total: 1, buyer_limit: 1}}
  - sale_id: apply-bulbs
    state: closed
    items: [{{sku: bulb, total: 5}}]
"""


Completed = subprocess.CompletedProcess[str]


class Apply:
    """Runs the command, as a shell does, on a file of its own."""

    def __init__(self, file: Path, environment: Mapping[str, str]) -> None:
        self._file = file
        self._environment = environment

    def __call__(self, text: str, *words: str) -> Completed:
        self._file.write_text(text)
        return run([sys.executable, "-m", "holdfast.cli", "sale", "apply", self._file, *words], self._environment)


@pytest.fixture
def apply(usual_stack: Running, tmp_path: Path) -> Apply:
    return Apply(tmp_path / "sales.yaml", shell_environment(usual_stack.stack))


def results(done: Completed) -> list[str]:
    return [sale["result"] for sale in json.loads(done.stdout)["sales"]]


def test_a_second_run_changes_nothing(apply: Apply) -> None:
    """Whatever a server makes of each setting is what the file said; every step of both files has been done by then."""
    now, later = (datetime.now(UTC) + timedelta(minutes=offset) for offset in (-1, 600))
    moments = {"now": now.isoformat(), "later": later.isoformat()}
    first, second = FIRST.format(**moments), SECOND.format(**moments)

    for text, words, changes in (
        (first, (), ["created", "created"]),
        (second, ("--stock", "--yes"), ["changed", "changed"]),
    ):
        differs = apply(text, "--check", *words)
        done = apply(text, "--json", *words)
        check = apply(text, "--check", "--json", *words)

        assert differs.returncode == 1, differs.stderr
        assert done.returncode == 0, done.stderr
        assert results(done) == changes
        assert results(check) == ["unchanged", "unchanged"]
        assert check.returncode == 0
    assert results(apply(second, "--json", "--stock")) == ["unchanged", "unchanged"]
    assert fields_changed(done, 0) == {
        *("title", "start_time", "end_time", "hold_ttl", "max_hold_ttl", "buyer_limit", "attempts_per_minute"),
        *("return_window", "items.lamp.total", "items.stand.total"),
    }
    assert fields_changed(done, 1) == {"state"}


def test_what_the_state_does_not_allow_is_told_by_the_server(apply: Apply) -> None:
    """Here a start that has passed, and a sale that is closed; nothing of that call was done."""
    text = "sales: [{sale_id: apply-stools, items: [{sku: stool, total: 1}]}]"
    assert apply(text).returncode == 0

    started = apply(text.replace("items", "start_time: 9999-01-01T00:00:00Z, title: Late, items"))
    assert apply(text.replace("items", "state: closed, items"), "--yes").returncode == 0
    reopened = apply(text.replace("items", "state: open, items"))

    assert started.returncode == reopened.returncode == 1
    assert "sale apply-stools: is open, which does not allow this [WRONG_SALE_STATE]" in started.stderr
    assert "sale apply-stools: is closed, which does not allow this [WRONG_SALE_STATE]" in reopened.stderr


def fields_changed(done: Completed, place: int) -> set[Any]:
    return {change["field"] for change in json.loads(done.stdout)["sales"][place]["changes"]}
