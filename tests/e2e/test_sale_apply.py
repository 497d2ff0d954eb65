"""`holdfast sale apply` against a whole stack: sales become what a file says, and a second run changes nothing."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from holdfast.cli import ask
from holdfast.cli.__main__ import app
from typer.testing import CliRunner, Result

from tests.e2e.shell import NOT_SENT, TIMES, UNKNOWN
from tests.stacks import Running
from tests.waiting import LONG_S

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


class Apply:
    """Runs the command inside this process, on a file of its own."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self, text: str, *words: str) -> Result:
        """Again where no server could judge it, which is harmless.

        A run that ends half-way leaves a part to the next, which counts that alone, so each call has plenty of time.
        """
        self._file.write_text(text)
        for _ in range(TIMES):
            done = CliRunner().invoke(app, ["sale", "apply", str(self._file), "--timeout", f"{LONG_S:g}", *words])
            if done.exit_code not in (NOT_SENT, UNKNOWN):
                break
        return done


@pytest.fixture
def apply(usual_stack: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Apply:
    monkeypatch.setattr(ask, "CONNECT_S", LONG_S)
    monkeypatch.setenv("HOLDFAST_ADDRESS", usual_stack.stack.addresses.listen)
    return Apply(tmp_path / "sales.yaml")


def changed(done: Result, sale_id: str) -> set[str]:
    """What of a sale was changed. Among the lines of the command there may be some of the stack."""
    return set(re.findall(rf"(?:changed|added|adjusted|closed) +{sale_id}  ([^:]+):", done.stdout))


def test_a_second_run_changes_nothing(apply: Apply) -> None:
    """Whatever a server makes of each setting is what the file said; every step of both files has been done by then."""
    now, later = (datetime.now(UTC) + timedelta(minutes=offset) for offset in (-1, 600))
    moments = {"now": now.isoformat(), "later": later.isoformat()}
    first, second = FIRST.format(**moments), SECOND.format(**moments)

    for text, words, result in ((first, (), "created"), (second, ("--stock", "--yes"), "changed")):
        differs = apply(text, "--check", *words)
        done = apply(text, *words)
        again = apply(text, *words)
        check = apply(text, "--check", *words)

        assert differs.exit_code == 1, differs.stderr
        assert (done.exit_code, done.stderr) == (0, f"2 sales: 2 {result}\n")
        assert (again.exit_code, again.stderr) == (0, "2 sales: 2 unchanged\n")
        assert (check.exit_code, check.stderr) == (0, "2 sales: 2 unchanged\n")
    assert changed(done, "apply-lamps") == {
        *("title", "start_time", "end_time", "hold_ttl", "max_hold_ttl", "buyer_limit", "attempts_per_minute"),
        *("return_window", "item lamp", "item stand"),
    }
    assert changed(done, "apply-bulbs") == {"state"}


def test_what_the_state_does_not_allow_is_told_by_the_server(apply: Apply) -> None:
    """Here a start that has passed, and a sale that is closed; nothing of that call was done."""
    text = "sales: [{sale_id: apply-stools, items: [{sku: stool, total: 1}]}]"
    assert apply(text).exit_code == 0

    started = apply(text.replace("items", "start_time: 9999-01-01T00:00:00Z, title: Late, items"))
    assert apply(text.replace("items", "state: closed, items"), "--yes").exit_code == 0
    reopened = apply(text.replace("items", "state: open, items"))

    assert started.exit_code == reopened.exit_code == 1
    assert "sale apply-stools: is open, which does not allow this [WRONG_SALE_STATE]" in started.stderr
    assert "sale apply-stools: is closed, which does not allow this [WRONG_SALE_STATE]" in reopened.stderr
    assert apply(text.replace("items", "title: ~, items"), "--check").exit_code == 0
