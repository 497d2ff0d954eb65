"""Builds `doctor`, which asks every server for the settings on which the guarantees rest."""

from typing import Annotated

import typer

from holdfast_runtime.process import Command, JsonOption
from holdfast_runtime.settings import KAFKA, LOGGING, POSTGRES
from holdfast_runtime.signals import run_unless_signalled
from inventory_service.server_checks import doctor
from inventory_service.settings import Settings
from inventory_service.wiring.server_checks import checks_after_probe
from inventory_service.wiring.servers import REDIS, redis_dependency


async def check_servers(
    settings: Settings,
    strict: Annotated[bool, typer.Option("--strict", help="End with 2 where something is unknown.")] = False,
    as_json: Annotated[bool, JsonOption()] = False,
) -> int:
    """Say of every server what is promised with its settings; the result goes to standard output."""
    checking = checks_after_probe(settings, redis_dependency(settings))
    return await run_unless_signalled(doctor.run(checking, as_json, print, strict))


COMMAND = Command(
    name="doctor",
    purpose="ask every server for the settings on which the promises rest",
    dependencies=(),  # it tells of each server that does not answer, and goes on
    settings=(
        *(*REDIS, *POSTGRES, *KAFKA, "kafka_session_timeout_s", "shards", "memory_share", "start_wait_s"),
        *LOGGING,
    ),
    run=check_servers,
    kind=Settings,
    more=(
        "Exit code 0: none is off, 1: one is, 2 with --strict: none is off and something is unknown, "
        "3: an unexpected error."
    ),
    verifies=True,
)
