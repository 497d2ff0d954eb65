"""The recipes of docs/cookbook.md do what the page shows, by grpcurl and by the `holdfast` command beside it."""

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from holdfast.cli import ask
from holdfast.cli.__main__ import app
from holdfast_embedded.stack import DEFAULT_LISTEN
from typer.testing import CliRunner

from tests.e2e.shell import NOT_SENT, TIMES, UNKNOWN
from tests.grpcurl import NoGrpcurl, find_grpcurl
from tests.stacks import Running
from tests.waiting import LONG_S, POLL_S

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cookbook.md"
COMMAND_S = 150.0
# What differs from run to run. A text among these is learned: later commands of the page name it as the page shows it.
VARYING = {
    *("create_time", "update_time", "start_time", "expire_time", "close_time", "read_time", "complete_time"),
    *("position", "created", "as_of", "etag", "next_page_token", "dead_letter_id", "retry_after"),
}
MAY_BE_ABSENT = {"ledger_lag"}  # the ledger may have everything by then
MAY_BE_MORE = {
    "next_page_token",
    "replayed",
}  # where there are those of other tests, or where a call had to be repeated
READS = re.compile(r"/(Get|List|Audit|Watch)\w+")  # these look at the ledger too, which follows a moment later
OF_ALL = re.compile(r"/List(Sales|BlockedBuyers)")
JSON_OBJECT = re.compile(r"^\s*(?:\d+\)\s*)?(?=\{)", re.MULTILINE)  # also as a numbered detail of an error


class Recipe(NamedTuple):
    """A command of the page, and the output below it."""

    command: str
    shown: str

    @property
    def is_grpcurl(self) -> bool:
        return self.command.startswith("grpcurl")


def recipes() -> list[Recipe]:
    """The commands of the page, in its order."""
    found: list[Recipe] = []
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        if language == "sh":
            found.append(Recipe(text.strip(), ""))
        else:
            found[-1] = found[-1]._replace(shown=found[-1].shown + text)
    return found


@pytest.fixture(scope="session")
def grpcurl() -> Path:
    """The program, or the reason why there is none."""
    try:
        return find_grpcurl()
    except NoGrpcurl as reason:
        pytest.skip(str(reason))


def test_every_recipe_does_what_the_page_shows(
    usual_stack: Running, grpcurl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One story: the commands of `holdfast` repeat those of grpcurl, which is harmless, and have the same answer."""
    address = usual_stack.stack.addresses.listen
    monkeypatch.setattr(ask, "CONNECT_S", LONG_S)
    monkeypatch.setenv("HOLDFAST_ADDRESS", address)
    monkeypatch.setenv("PATH", str(grpcurl.parent), prepend=os.pathsep)
    learned = {DEFAULT_LISTEN: address}

    story = recipes()

    assert len([recipe for recipe in story if recipe.is_grpcurl]) >= 20
    for recipe in story:
        command = as_learned(recipe.command, learned)
        if recipe.is_grpcurl:
            learned |= run_until_as_shown(command, recipe.shown)
        elif "until Ctrl-C" not in command:
            run_holdfast(command, recipe.shown)


def as_learned(command: str, learned: Mapping[str, str]) -> str:
    """The command with what this run has in the place of what the page shows."""
    for shown, found in learned.items():
        command = command.replace(shown, found)
    return command


def run_until_as_shown(command: str, shown: str) -> dict[str, str]:
    """Run a command of grpcurl; again if it reads, and the ledger does not have all yet. Return what is learned."""
    give_up_at = time.monotonic() + LONG_S
    may_be_more = bool(OF_ALL.search(command))
    while True:
        words = ["bash", "-c", command]
        done = subprocess.run(words, capture_output=True, text=True, timeout=COMMAND_S, check=False)
        learned: dict[str, str] = {}
        wanted, found = parts(shown), parts(f"{done.stdout}\n{done.stderr}")
        if "Code: DeadlineExceeded" in shown:  # it is the client's own, and which words it finds is chance
            wanted, found = (
                [part for part in each if not str(part).startswith("Message: ")] for each in (wanted, found)
            )
        if "/StreamReserve" in command:  # it answers in any order
            wanted, found = sorted(wanted, key=str), sorted(found, key=str)
        if is_alike(wanted, found, learned, may_be_more):
            return learned
        was_not_judged = "Code: Unavailable" in done.stderr  # by a server whose Redis was halted for some seconds
        may_be_more = may_be_more or was_not_judged
        may_differ_yet = (READS.search(command) or was_not_judged) and time.monotonic() < give_up_at
        assert may_differ_yet, f"{command}\n{done.stdout}\n{done.stderr}"
        time.sleep(POLL_S)


def parts(output: str) -> list[Any]:
    """The JSON objects of an output, in their order, and its lines between them."""
    found: list[Any] = []
    while output:
        start = JSON_OBJECT.search(output)
        text, rest = (output[: start.start()], output[start.end() :]) if start else (output, "")
        found += [line.strip() for line in text.splitlines() if line.strip()]
        if start:
            fields, length = json.JSONDecoder().raw_decode(rest)
            found.append(fields)
            rest = rest[length:]
        output = rest
    return found


def is_alike(wanted: Any, found: Any, learned: dict[str, str], may_be_more: bool) -> bool:
    """Whether an output is what the page shows, but for what varies."""
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(
            is_alike(*each, learned, may_be_more) for each in zip(wanted, found, strict=True)
        )
    if isinstance(wanted, dict) and isinstance(found, dict):
        wanted, found = ({snake_case(name): value for name, value in each.items()} for each in (wanted, found))
        absent = MAY_BE_ABSENT | (MAY_BE_MORE if may_be_more else set())
        return all(
            name in absent
            if (name in wanted) != (name in found)
            else is_value_alike(name, wanted[name], found[name], learned, may_be_more)
            for name in {*wanted, *found}
        )
    return bool(wanted == found)


def is_value_alike(name: str, wanted: Any, found: Any, learned: dict[str, str], may_be_more: bool) -> bool:
    """Whether a field is as the page shows it."""
    if name in VARYING:
        if isinstance(wanted, str):
            learned[wanted] = found
        return type(wanted) is type(found)
    if name in MAY_BE_ABSENT or (name, wanted) == ("ledger_state", "LEDGER_STATE_PENDING"):
        return True  # the ledger may have it by then
    return is_alike(wanted, found, learned, may_be_more)


def snake_case(name: str) -> str:
    """A field by its name in the proto, which grpcurl prints in one version and not in another."""
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()


def run_holdfast(command: str, shown: str) -> None:
    """Run a command inside this process; its exit code is that of the page, and its output has the lines that it shows.

    Again where no server could judge it.

    What the page says holds only "once" something has happened, which may be so, or not yet.
    """
    line, _, typed = command.partition("\n")
    codes = re.findall(r"# exit code (\d)", line) or ["0"]
    if "once" in line:
        codes.append("0")
    words = shlex.split(line.partition(" <<")[0], comments=True)
    for _ in range(TIMES):
        done = CliRunner().invoke(app, words[1:], input=typed.removesuffix("\nEOF"))
        if done.exit_code not in (NOT_SENT, UNKNOWN):
            break
    assert str(done.exit_code) in codes, f"{command}\n{done.stdout}\n{done.stderr}"
    for text in shown.splitlines():
        assert text in f"{done.stdout}\n{done.stderr}", f"{command}\n{done.stdout}\n{done.stderr}"
