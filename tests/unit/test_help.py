"""Every process and command explains itself: what it does, its options, and its settings with defaults and units."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, get_args, get_origin

import pytest
import typer
from holdfast.cli.__main__ import app
from holdfast.cli.processes import PROCESSES
from holdfast_embedded.__main__ import app as embedded
from pydantic.fields import FieldInfo

import inventory_service.usage
import order_persister.usage
from inventory_service import settings as inventory_settings
from inventory_service.__main__ import PROCESSES as INVENTORY
from order_persister import settings as persister_settings

# These run until they are told to end, or show what they do on a screen; every other command prints facts.
STAY = {"serve", "relay", "compensate", "persist", "up", "demo"}
# A number's name or its meaning says what it counts.
UNITS = re.compile(r"\b(seconds|bytes|commits|requests|objects|parts|share|copies|units)\b")


class Helped(NamedTuple):
    """A process of a service, what its `--help` prints, and the fields of its settings."""

    name: str
    text: str
    fields: dict[str, FieldInfo]
    only_for: dict[str, Sequence[str]]


def helped() -> Iterator[Helped]:
    """Every process of both services."""
    purposes = {name: purpose for name, (purpose, *_) in INVENTORY.items()}
    for parser, settings, only_for in (
        (inventory_service.usage.parser(purposes), inventory_settings, inventory_service.usage.ONLY_FOR),
        (order_persister.usage.parser(), persister_settings, order_persister.usage.ONLY_FOR),
    ):
        [commands] = (action for action in parser._actions if action.choices)
        for name, command in dict(commands.choices or {}).items():
            yield Helped(name, command.format_help(), settings.Settings.model_fields, dict(only_for))


HELPED = list(helped())
FIELDS = {
    f"{service}: {name}": (name, field)
    for service, settings in (("inventory", inventory_settings), ("persister", persister_settings))
    for name, field in settings.Settings.model_fields.items()
}


@pytest.mark.parametrize("process", HELPED, ids=lambda process: process.name)
def test_a_process_says_what_it_does(process: Helped) -> None:
    """In one sentence, its names spelled as everywhere."""
    purposes = {**{name: purpose for name, (purpose, *_) in INVENTORY.items()}, **order_persister.usage.PURPOSES}

    assert f"{purposes[process.name][1:]}." in " ".join(process.text.split())


@pytest.mark.parametrize("process", HELPED, ids=lambda process: process.name)
def test_a_process_lists_its_settings_with_their_defaults(process: Helped) -> None:
    """All that it heeds and no others, each with its default and the whole of its meaning, in one form everywhere."""
    listed = dict(re.findall(r"^  HOLDFAST_(\w+) \(default: (.*)\)\n      \S", process.text, re.MULTILINE))
    everybody = [process.name]
    heeded = {
        name: field for name, field in process.fields.items() if process.name in process.only_for.get(name, everybody)
    }

    assert listed == {name.upper(): str(field.default) or "empty" for name, field in heeded.items()}
    assert all(str(field.description) in " ".join(process.text.split()) for field in heeded.values())


def test_every_setting_is_heeded_by_somebody() -> None:
    """A setting that no help lists is one that nobody finds."""
    listed = {
        f"{variable.lower()}" for process in HELPED for variable in re.findall(r"HOLDFAST_(\w+) \(", process.text)
    }

    assert {name for name, _ in FIELDS.values()} <= listed
    assert {name for process in HELPED for name in process.only_for} <= listed


@pytest.mark.parametrize("field", FIELDS)
def test_a_setting_says_its_unit_or_its_choices(field: str) -> None:
    """A number without a unit is a guess, and so is a word of a list that is not shown."""
    name, info = FIELDS[field]
    meaning, kind = info.description or "", info.annotation

    assert meaning
    if kind in (int, float):
        assert UNITS.search(meaning), f"{name}: of what?"
    if get_origin(kind) is Literal:
        assert all(re.search(rf"\b{choice}\b", meaning) for choice in get_args(kind)), f"{name}: which are there?"


def test_a_command_and_its_process_bear_one_name() -> None:
    """`holdfast NAME` starts the process of that name: none is missing on either side."""
    of_services = {name for name, process in PROCESSES.items() if process.module != "holdfast_embedded"}

    assert of_services == {process.name for process in HELPED}


def typer_commands() -> Iterator[tuple[str, Any]]:
    """Every command that typer runs, by its whole name: those of the client, and those of the embedded stack."""

    def walk(group: Any, path: str) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from walk(command, f"{path}{name} ")
            elif not path and name in PROCESSES and group is client:
                continue  # its options are the process' own
            else:
                yield f"{path}{name}", command

    client = typer.main.get_command(app)
    yield from walk(client, "")
    yield from walk(typer.main.get_command(embedded), "")


TYPED = dict(typer_commands())


@pytest.mark.parametrize("name", TYPED)
def test_a_command_explains_each_option_with_its_default(name: str) -> None:
    """An option that may be left out says what holds then."""
    assert TYPED[name].help
    for parameter in TYPED[name].params:
        if parameter.name == "help":
            continue
        meaning = parameter.help or ""
        assert meaning, f"{name}: {parameter.name}"
        may_be_left = not parameter.required and not getattr(parameter, "is_flag", False)
        shows_default = parameter.show_default and parameter.default not in (None, "")
        assert not may_be_left or shows_default or re.search(r"if not given|default", meaning), (
            f"{name}: {parameter.name}"
        )


def test_every_command_that_prints_facts_prints_them_as_json_too() -> None:
    """A script reads fields and not prose; a process that keeps running has metrics and a log instead."""
    with_json = {name for name, command in TYPED.items() if any("--json" in one.opts for one in command.params)}
    with_json |= {process.name for process in HELPED if re.search(r"^  --json +\S", process.text, re.MULTILINE)}

    assert with_json == (set(TYPED) | set(PROCESSES)) - STAY
