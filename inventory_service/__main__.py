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
from inventory_service.domain.shards import ShardCountMismatch
from inventory_service.logs import configure_logging
from inventory_service.settings import BadSettings, Settings, read_settings
from inventory_service.signals import INTERRUPTED, either, signals
from inventory_service.start_check import check_servers
from inventory_service.usage import parser

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
    "init": (
        "open every shard of empty stores, once",
        lambda settings, said: bootstrap.open_shards(settings, said.json),
    ),
    "topics": (
        "make Kafka's topics, or check them",
        lambda settings, said: bootstrap.make_topics(settings, said.replication, said.json),
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
    said = parser({name: purpose for name, (purpose, _) in PROCESSES.items()}).parse_args(arguments)
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
    except (BadSettings, ShardCountMismatch) as error:  # found wrong only now that a server or this machine was asked
        print(error, file=sys.stderr)
        return BAD_SETTINGS
    except Exception:  # whatever it is, one event tells it and the exit code says so
        log.exception("unhandled_exception")
        return SURPRISED_JUDGE if said.process in JUDGES else SURPRISE


async def _begin(settings: Settings, said: argparse.Namespace) -> int:
    """Start the process once its servers have let it in; a signal ends it before as it would later."""
    told = signals()
    if not await either(check_servers(said.process, settings), told.get()) or not told.empty():
        return INTERRUPTED if said.process in JUDGES else 0
    return await PROCESSES[said.process][1](settings, said)


if __name__ == "__main__":
    sys.exit(main())
