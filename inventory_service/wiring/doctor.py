"""Builds `doctor`, which checks the settings of every server on which the guarantees rest."""

from typing import Annotated

import typer

from holdfast_runtime.process import Command, JsonOption
from holdfast_runtime.settings import KAFKA, LOGGING, POSTGRES
from holdfast_runtime.signals import run_unless_signalled
from inventory_service.server_checks import doctor
from inventory_service.settings import Settings
from inventory_service.wiring.server_checks import checks_after_probe
from inventory_service.wiring.servers import REDIS, REPLICA_WAIT, redis_dependency


async def check_servers(
    settings: Settings,
    strict: Annotated[bool, typer.Option("--strict", help="End with 2 if a setting is unknown.")] = False,
    as_json: Annotated[bool, JsonOption()] = False,
) -> int:
    """Check every server's settings; the result is written to standard output."""
    checking = checks_after_probe(settings, redis_dependency(settings, may_be_replica=True))
    return await run_unless_signalled(doctor.run(checking, as_json, print, strict))


COMMAND = Command(
    name="doctor",
    purpose="check the settings of every server on which the promises rest",
    dependencies=(),  # a server that does not answer is one of the results
    settings=(
        *(
            *REDIS,
            *REPLICA_WAIT[:2],
            *POSTGRES,
            *KAFKA,
            "kafka_session_timeout_s",
            "shards",
            "memory_share",
            "redis_failover_s",
            "start_wait_s",
        ),
        *LOGGING,
    ),
    run=check_servers,
    kind=Settings,
    more=(
        "Exit code 0: every promise is kept, 1: one is not, 2 with --strict: none is broken and one is unknown, "
        "3: an unexpected error."
    ),
    verifies=True,
)
