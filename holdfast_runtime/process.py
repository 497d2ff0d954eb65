"""Declares a command of a service as one value, which its `--help`, start check and exit codes are made from."""

import asyncio
import sys
import textwrap
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from inspect import signature
from typing import Any, Generic

import structlog
import typer
import uvloop

from holdfast_runtime.logs import configure_logging
from holdfast_runtime.settings import AnySettings, BadSettings, SharedSettings, list_settings, read_settings
from holdfast_runtime.signals import INTERRUPTED, first_to_end, signals
from holdfast_runtime.start_check import Dependency, wait_for_all

WIDTH = 100
EXIT_UNEXPECTED, EXIT_BAD_SETTINGS = 1, 2
EXIT_UNEXPECTED_VERIFYING = 3  # of a command whose exit code 1 says that a check failed
log = structlog.get_logger()
MakeDependency = Callable[[Any], Dependency]


@dataclass(frozen=True)
class Command(Generic[AnySettings]):
    """One process: `run` takes the settings and the command's options, and returns the exit code.

    The options are `run`'s other parameters, annotated for typer.
    """

    name: str
    purpose: str
    dependencies: Sequence[MakeDependency]  # servers that are probed before it runs, made from the settings
    settings: Sequence[str]  # the fields that it uses, in the order of `--help`
    run: Callable[..., Coroutine[Any, Any, int]]
    kind: type[AnySettings]
    more: str = ""  # of `--help`, after the purpose
    verifies: bool = False  # exit code 1 says that a check failed


def load_commands(package: str, names: Sequence[str], arguments: Sequence[str] = ()) -> Sequence[Command[Any]]:
    """The command that a command line names, or else all of them; each is `COMMAND` of the module of its name.

    The other modules are not imported, and so none of the libraries that they alone need.
    """
    named = [name for name in names if name in arguments[:1]]
    return [import_module(f"{package}.{name}").COMMAND for name in named or names]


def build_app(commands: Sequence[Command[Any]], service: str, silent: Sequence[str] = ()) -> typer.Typer:
    """The service's command line: one sub-command a process. `silent` are libraries that log nothing."""
    app = typer.Typer(
        callback=_no_command_yet,
        help=f"Start one process of the {service}. PROCESS --help lists its settings.",
        no_args_is_help=False,
        add_completion=False,
        rich_markup_mode=None,
        subcommand_metavar="PROCESS",
        pretty_exceptions_enable=False,
        context_settings={"max_content_width": WIDTH},
    )
    for command in commands:
        purpose = f"{command.purpose[0].upper()}{command.purpose[1:]}."
        app.command(
            command.name,
            help=f"{purpose} {command.more}".strip(),
            short_help=purpose,
            epilog=_settings_text(command.kind, command.settings),
        )(_callback(command, silent))
    return app


def run_app(app: typer.Typer, arguments: Sequence[str]) -> int:
    """Run one command: its exit code. 2 is a command line or settings that are invalid, whatever the command."""
    try:
        app(args=arguments, prog_name="holdfast")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else EXIT_UNEXPECTED
    return 0


def run_command(command: Command[Any], options: dict[str, Any], silent: Sequence[str] = ()) -> int:
    """Read the settings, probe the servers, run: the exit code."""
    try:
        settings = read_settings(command.kind)
        dependencies = [make(settings) for make in command.dependencies]
        configure_logging(command.name, settings.log_level, settings.log_format, silent)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_begin(command, settings, dependencies, options))
    except BadSettings as error:  # also raised when a server or the operating system rejects a setting
        print(error, file=sys.stderr)
        return EXIT_BAD_SETTINGS
    except Exception:  # a bug: logged as one event, and reported by the exit code
        log.exception("unhandled_exception")
        return EXIT_UNEXPECTED_VERIFYING if command.verifies else EXIT_UNEXPECTED


async def _begin(
    command: Command[Any], settings: SharedSettings, dependencies: Sequence[Dependency], options: dict[str, Any]
) -> int:
    """Run the command once its servers have answered; a signal before that ends the process as one later does."""
    received = signals()
    limit = f"HOLDFAST_START_WAIT_S is {settings.start_wait_s:g}"
    checking = wait_for_all(dependencies, settings.start_wait_s, limit)
    if not await first_to_end(checking, received.get()) or not received.empty():
        return INTERRUPTED if command.verifies else 0
    return await command.run(settings, **options)


def _settings_text(kind: type[SharedSettings], names: Sequence[str]) -> str:
    """The settings, each with default, meaning and unit, as an epilog; `\\b` keeps its lines."""
    return "\n".join(["\b", "Settings, read from the environment at the start:", *_settings_lines(kind, names)])


def _settings_lines(kind: type[SharedSettings], names: Sequence[str]) -> Iterator[str]:
    listed = {setting.name: setting for setting in list_settings(kind)}
    for name in names:
        setting = listed[name]
        yield f"{setting.variable} (default: {setting.default or 'empty'})"
        yield textwrap.fill(setting.meaning, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 4)


def _no_command_yet() -> None:
    """Tells typer that a command is named even where there is one alone."""


def _callback(command: Command[Any], silent: Sequence[str]) -> Callable[..., None]:
    """The function that typer calls, with the options of `run` as parameters."""

    def callback(**options: Any) -> None:
        raise SystemExit(run_command(command, options, silent))

    _, *options = signature(command.run, eval_str=True).parameters.values()
    callback.__signature__ = signature(callback).replace(parameters=options)  # type: ignore[attr-defined]
    callback.__annotations__ = {option.name: option.annotation for option in options}
    return callback


JsonOption = partial(typer.Option, "--json", help="Print the result as JSON, for a script.")
