"""The `holdfast` command as a shell runs it, against a whole stack: one reservation's life."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from tests.e2e.shell import run
from tests.stacks import Running, shell_environment
from tests.waiting import eventually

HOLDFAST = (sys.executable, "-m", "holdfast.cli")
RECORDS_S = 60.0


@pytest.fixture
def shell(usual_stack: Running) -> dict[str, str]:
    """The environment of a shell whose HOLDFAST_* variables point to a running stack."""
    return shell_environment(usual_stack.stack)


def holdfast(shell: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run one command as a process of its own."""
    return run([*HOLDFAST, *words], shell)


def fields(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_sale_is_sold_out_and_recorded(shell: dict[str, str]) -> None:
    """Create, reserve, extend, confirm, return, show, get and audit: each by its output and exit code."""
    assert holdfast(shell, "sale", "create", "cli-lamps", "--item", "lamp=3", "--max-hold", "1h").returncode == 0
    reserve = ["reserve", "cli-lamps", "--line", "lamp=3", "--buyer"]
    claim = ["cli-lamps", "cli-1"]
    held = fields(holdfast(shell, *reserve, "ada", "--id", "cli-1", "--json"))
    sold_out = holdfast(shell, *reserve, "bob")
    extended = holdfast(shell, "reservation", "extend", *claim, "--by", "20m")
    confirmed = holdfast(shell, "confirm", *claim, "--line", "lamp=2")
    too_late = holdfast(shell, "release", *claim)
    returned = holdfast(shell, "reservation", "return", *claim, "--line", "lamp=1", "--reason", "broken", "--discard")
    shown = holdfast(shell, "sale", "show", "cli-lamps")

    assert held["reservation"]["state"] == "RESERVATION_STATE_HELD"
    assert (sold_out.returncode, "sold out" in sold_out.stdout) == (1, True)
    assert (extended.returncode, "held  cli-1" in extended.stdout) == (0, True)
    assert (confirmed.returncode, "3 lamp, 2 sold" in confirmed.stdout) == (0, True)
    assert (too_late.returncode, "WRONG_RESERVATION_STATE" in too_late.stderr) == (1, True)
    assert (returned.returncode, "3 lamp, 2 sold, 1 back" in returned.stdout) == (0, True)
    assert shown.stdout.splitlines()[-1].split() == ["lamp", "1", "0", "1", "2"]
    wait_until_recorded(shell, "cli-lamps", "cli-1")
    assert holdfast(shell, "audit").returncode == 0


def test_a_blocked_buyer_gets_nothing(shell: dict[str, str]) -> None:
    """After `buyer block` a Reserve is rejected, which is an answer, and after `buyer unblock` it is granted."""
    holdfast(shell, "sale", "create", "cli-blocked", "--item", "lamp=1")
    reserve = ("reserve", "cli-blocked", "--line", "lamp=1", "--buyer", "cli-bot", "--id", "cli-2", "--json")

    assert holdfast(shell, "buyer", "block", "cli-bot", "--reason", "bot", "--yes").returncode == 0
    rejected = holdfast(shell, *reserve)
    assert holdfast(shell, "buyer", "unblock", "cli-bot").returncode == 0
    granted = fields(holdfast(shell, *reserve))

    assert json.loads(rejected.stdout)["rejection"]["reason"] == "REJECTION_REASON_BUYER_BLOCKED"
    assert granted["reservation"]["state"] == "RESERVATION_STATE_HELD"


def test_a_file_is_reserved_once_and_what_it_held_is_listed_watched_and_audited(
    shell: dict[str, str], tmp_path: Path
) -> None:
    """Sixty requests for fifty lamps, run twice: the second run hears the first one's answers, and holds no more.

    What the first run says of repeats is chance: it repeats a call itself whose answer takes more than two seconds.
    """
    orders, listed = tmp_path / "orders.csv", ("reservation", "list", "--sale", "cli-many", "--all", "--jsonl")
    rows = "".join(f"r-{number},buyer-{number},lamp=1\n" for number in range(60))
    orders.write_text(f"reservation_id,buyer_id,lines\n{rows}")
    assert holdfast(shell, "sale", "create", "cli-many", "--item", "lamp=50").returncode == 0

    runs = [holdfast(shell, "reserve", "cli-many", "--file", str(orders)) for _ in range(2)]

    assert [done.returncode for done in runs] == [1, 1], runs
    assert [done.stderr for done in runs] == ["60 requests: 50 held, 10 sold out\n"] * 2
    assert runs[1].stdout.count("(a repeat)") == 50
    asyncio.run(eventually(lambda: len(holdfast(shell, *listed).stdout.splitlines()) == 50, RECORDS_S))
    with subprocess.Popen(
        [*HOLDFAST, "sale", "watch", "cli-many", "--json"], env=shell, stdout=PIPE, text=True
    ) as watch:
        assert watch.stdout is not None
        messages = map(json.loads, watch.stdout)
        assert next(messages)["snapshot"]
        holdfast(shell, "release", "cli-many", "r-0")
        assert next(item for message in messages for item in message["sale"]["items"] if item["held"] == 49)
        watch.send_signal(signal.SIGINT)
        assert watch.wait(RECORDS_S) == 130
    assert holdfast(shell, "sale", "audit", "cli-many").stdout.startswith("consistent  sale cli-many  1 items and ")


def test_an_unknown_id_exits_with_1(shell: dict[str, str]) -> None:
    """Not 2, because a server has answered; the line names the id."""
    no_reservation = holdfast(shell, "get", "cli-nowhere", "cli-9")
    no_sale = holdfast(shell, "sale", "show", "cli-nowhere", "--json")

    assert (no_reservation.returncode, no_sale.returncode) == (1, 1)
    assert no_reservation.stderr == "holdfast: sale cli-nowhere: does not exist [SALE_NOT_FOUND]\n"
    assert json.loads(no_sale.stdout)["error"]["metadata"] == {"sale_id": "cli-nowhere"}


def test_a_process_answers_its_own_help(shell: dict[str, str]) -> None:
    """`holdfast audit --help` prints the options of the audit."""
    shown = holdfast(shell, "audit", "--help")

    assert shown.returncode == 0
    assert "--json" in shown.stdout


def wait_until_recorded(shell: dict[str, str], sale_id: str, reservation_id: str) -> None:
    """The ledger has it."""
    wait_until(shell, sale_id, reservation_id, "ledger_state", "LEDGER_STATE_RECORDED")


def wait_until(shell: dict[str, str], sale_id: str, reservation_id: str, field: str, wanted: str) -> Any:
    """Call `get` until a field of the reservation has the value; each call takes half a second by itself."""
    give_up_at = time.monotonic() + RECORDS_S
    while True:
        reservation = fields(holdfast(shell, "get", sale_id, reservation_id, "--json"))["reservation"]
        if reservation[field] == wanted:
            return reservation
        assert time.monotonic() < give_up_at, reservation
