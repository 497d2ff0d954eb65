"""Every process and command explains itself: what it does, its options, and its settings with defaults and units."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, get_args, get_origin

import pytest
import typer
from holdfast.cli.__main__ import app
from holdfast.cli.processes import PROCESSES
from holdfast_bench.__main__ import app as bench
from holdfast_embedded.__main__ import app as embedded

from holdfast_runtime.process import Command, build_app, load_commands
from holdfast_runtime.settings import SharedSettings
from inventory_service import __main__ as inventory
from inventory_service.__main__ import main as inventory_main
from inventory_service.settings import Settings
from order_persister import __main__ as persister
from order_persister.__main__ import main as persister_main

INVENTORY = load_commands(inventory.WIRING, inventory.COMMANDS)
PERSISTER = load_commands(persister.WIRING, persister.COMMANDS)

# These run until a signal ends them, or show progress on a screen; every other command prints results.
STAY = {"serve", "relay", "compensate", "persist", "up", "demo"}
# A number's name or its meaning has its unit.
UNITS = re.compile(
    r"\b((milli)?seconds|bytes|calls|commits|requests|objects|processes|shards|share|copies|units|replicas)\b"
)


MAINS: dict[Command[Any], Callable[[Sequence[str]], int]] = {
    **dict.fromkeys(INVENTORY, inventory_main),
    **dict.fromkeys(PERSISTER, persister_main),
}
FIELDS = Settings.model_fields  # the persister's are among them


@pytest.fixture(params=MAINS, ids=lambda command: command.name)
def command(request: pytest.FixtureRequest) -> Any:
    """Every process of both services."""
    return request.param


@pytest.fixture
def text(command: Command[Any], capsys: pytest.CaptureFixture[str]) -> str:
    """What its `--help` prints."""
    assert MAINS[command]([command.name, "--help"]) == 0
    return capsys.readouterr().out


def test_a_process_says_what_it_does(command: Command[Any], text: str) -> None:
    """In one sentence, under the name by which it is started."""
    assert f"Usage: holdfast {command.name} [OPTIONS]" in text
    assert f"{command.purpose[1:]}." in " ".join(text.split())


def test_a_process_lists_its_settings_with_their_defaults(command: Command[Any], text: str) -> None:
    """All that it reads and no others, each with its default and its whole meaning, in one form everywhere."""
    listed = dict(re.findall(r"^  HOLDFAST_(\w+) \(default: (.*)\)\n      \S", text, re.MULTILINE))

    heeded = {name: command.kind.model_fields[name] for name in command.settings}
    assert listed == {name.upper(): str(field.default) or "empty" for name, field in heeded.items()}
    assert all(str(field.description) in " ".join(text.split()) for field in heeded.values())


def test_a_service_lists_its_processes(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with its purpose."""
    for main, commands in ((inventory_main, INVENTORY), (persister_main, PERSISTER)):
        assert main(["--help"]) == 0

        listed = " ".join(capsys.readouterr().out.split())
        assert all(f"{command.name} {command.purpose[0].upper()}" in listed for command in commands)


def test_a_process_imports_its_own_wiring_alone() -> None:
    """The others', and the libraries that they alone need, cost each start half a second."""
    for service, commands in ((inventory, INVENTORY), (persister, PERSISTER)):
        assert tuple(command.name for command in commands) == service.COMMANDS
        for command in commands:
            assert load_commands(service.WIRING, service.COMMANDS, [command.name, "--help"]) == [command]


@pytest.mark.parametrize("arguments", [[], ["frob"], ["topics", "--replication", "0"], ["audit", "--frob"]])
def test_a_command_line_that_is_invalid_ends_with_two(
    arguments: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 also ends a process with an invalid setting."""
    assert inventory_main(arguments) == 2
    assert "Error: " in capsys.readouterr().err


def test_every_setting_is_read_by_a_process() -> None:
    """A setting that no help lists is one that no operator finds."""
    assert {name for command in MAINS for name in command.settings} == set(FIELDS)
    assert set(SharedSettings.model_fields) <= set(FIELDS)


def test_a_setting_says_its_unit_or_its_choices() -> None:
    """A number without a unit, or a choice without the list of choices, cannot be set right."""
    for name, info in FIELDS.items():
        meaning, kind = info.description or "", info.annotation

        assert meaning, name
        if kind in (int, float):
            assert UNITS.search(meaning), f"{name}: of what?"
        if get_origin(kind) is Literal:
            assert all(re.search(rf"\b{choice}\b", meaning) for choice in get_args(kind)), f"{name}: which are there?"


def test_a_command_and_its_process_have_one_name() -> None:
    """`holdfast NAME` starts the process of that name: none is missing on either side, and both say the same."""
    of_services = {
        name: (process.module, process.purpose)
        for name, process in PROCESSES.items()
        if process.module not in ("holdfast_embedded", "holdfast_bench")
    }

    assert of_services == {
        command.name: (main.__module__.removesuffix(".__main__"), f"{command.purpose[0].upper()}{command.purpose[1:]}.")
        for command, main in MAINS.items()
    }


def typer_commands() -> Iterator[tuple[str, Any]]:
    """Every command that typer runs, by its whole name: those of the client and of the embedded stack, and `bench`."""

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
    yield from walk(typer.main.get_command(bench), "")
    for commands, service in ((INVENTORY, "inventory service"), (PERSISTER, "order persister")):
        yield from walk(typer.main.get_command(build_app(commands, service)), "")


TYPED = dict(typer_commands())


def test_a_command_explains_each_option_with_its_default() -> None:
    """An option that may be left out has its default in the help."""
    assert [name for name, command in TYPED.items() if not command.help] == []
    parameters = [(name, one) for name, command in TYPED.items() for one in command.params if one.name != "help"]
    for name, parameter in parameters:
        meaning = parameter.help or ""
        assert meaning, f"{name}: {parameter.name}"
        may_be_left = not parameter.required and not getattr(parameter, "is_flag", False)
        shows_default = parameter.show_default and parameter.default not in (None, "")
        assert not may_be_left or shows_default or re.search(r"if not given|default", meaning), (
            f"{name}: {parameter.name}"
        )


def test_every_command_that_prints_results_can_print_json() -> None:
    """A script reads fields and not prose; a process that keeps running has metrics and a log instead."""
    with_json = {name for name, command in TYPED.items() if any("--json" in one.opts for one in command.params)}

    assert with_json == (set(TYPED) | set(PROCESSES)) - STAY
