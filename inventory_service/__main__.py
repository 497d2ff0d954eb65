"""Start one process of the inventory service: `python -m inventory_service serve`, or another that `--help` names."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog
import uvloop

from inventory_service import bootstrap
from inventory_service.access import check_access
from inventory_service.domain.shards import Disagreement
from inventory_service.logs import configure_logging
from inventory_service.settings import BadSettings, Settings, list_settings, read_settings
from inventory_service.signals import INTERRUPTED, either, signals
from inventory_service.start_check import check_servers

SURPRISE, BAD_SETTINGS = 1, 2
SURPRISED_JUDGE = 3  # of what answers with 1 that the servers are not as they must be
JUDGES = ("audit", "doctor", "init", "topics")
Start = Callable[[Settings, argparse.Namespace], Coroutine[Any, Any, int]]

PROCESSES: dict[str, tuple[str, Start]] = {
    "serve": ("take calls", lambda settings, _: bootstrap.serve(settings)),
    "relay": (
        "send each shard's outbox to Kafka, expire holds, take shards over",
        lambda settings, _: bootstrap.relay_commits(settings),
    ),
    "compensate": ("give back what the ledger refused", lambda settings, _: bootstrap.compensate(settings)),
    "init": ("open every shard of empty stores, once", lambda settings, _: bootstrap.open_shards(settings)),
    "topics": (
        "make Kafka's topics, or check them",
        lambda settings, said: bootstrap.make_topics(settings, said.replication),
    ),
    "doctor": (
        "ask every server for the settings on which the promises rest",
        lambda settings, said: bootstrap.examine_servers(settings, said.json),
    ),
    "audit": (
        "compare Redis with the ledger",
        lambda settings, said: bootstrap.compare_books(settings, said.sale, said.deadline, said.json),
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 ended as asked, 1 a surprise, 2 settings that make no sense; what judges says more."""
    said = parser().parse_args(arguments)
    try:
        settings = read_settings()
        check_access(settings)
    except BadSettings as error:
        print(error, file=sys.stderr)
        return BAD_SETTINGS
    configure_logging(said.process, settings.log_level, settings.log_format)
    log = structlog.get_logger()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_begin(settings, said))
    except (BadSettings, Disagreement) as error:  # found wrong only now that a server or this machine was asked
        print(error, file=sys.stderr)
        return BAD_SETTINGS
    except Exception:  # whatever it is, one event tells it and the exit code says so
        log.exception("surprise")
        return SURPRISED_JUDGE if said.process in JUDGES else SURPRISE


async def _begin(settings: Settings, said: argparse.Namespace) -> int:
    """Start the process once its servers have let it in; a signal ends it before as it would later."""
    if not await either(check_servers(said.process, settings), signals().get()):
        return INTERRUPTED if said.process in JUDGES else 0
    return await PROCESSES[said.process][1](settings, said)


def parser() -> argparse.ArgumentParser:
    """One sub-command a process; each lists the settings."""
    top = argparse.ArgumentParser(
        prog="holdfast",
        description="Start one process of the inventory service.",
        epilog=_settings_table(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="process", required=True, metavar="PROCESS")
    parsers = {
        name: commands.add_parser(
            name,
            help=purpose,
            description=purpose.capitalize() + ".",
            epilog=_settings_table(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for name, (purpose, _) in PROCESSES.items()
    }
    parsers["topics"].add_argument(
        "--replication",
        type=_count,
        metavar="N",
        help="copies of each partition when made (default: one on each broker, and three at most)",
    )
    doctor = parsers["doctor"]
    doctor.description = (
        "Ask every server for the settings on which the promises rest. "
        "Exit code 0: all are kept, 1: one is off, 2: none is off and something could not be asked, 3: a surprise."
    )
    doctor.add_argument("--json", action="store_true", help="for a machine")
    audit = parsers["audit"]
    audit.description = "Compare Redis with the ledger. Exit code 0: the books agree, 1: they differ, 2 or 3: unknown."
    audit.add_argument("--sale", metavar="SALE_ID", help="compare this sale alone (default: all)")
    audit.add_argument("--deadline", type=float, default=60.0, metavar="SECONDS", help="to wait for the ledger (60)")
    audit.add_argument("--json", action="store_true", help="for a machine")
    return top


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 100:
        raise argparse.ArgumentTypeError("must be 1 to 100")
    return value


def _settings_table() -> str:
    lines = [f"  {setting.variable} = {setting.default}\n      {setting.meaning}" for setting in list_settings()]
    return "\n".join(["settings (environment variables, with their defaults):", *lines])


if __name__ == "__main__":
    sys.exit(main())
