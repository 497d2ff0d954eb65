"""Builds `audit`, which compares Redis with the ledger."""

import sys
import time
from typing import Annotated

import typer

from holdfast_runtime.postgres import postgres_dependency
from holdfast_runtime.process import Command, JsonOption
from holdfast_runtime.settings import LOGGING, POSTGRES
from holdfast_runtime.signals import run_unless_signalled
from inventory_service.domain.caller import DEFAULT_TENANT
from inventory_service.domain.keys import SaleKey
from inventory_service.service import audit
from inventory_service.service.paced_lines import PacedLines
from inventory_service.settings import Settings
from inventory_service.wiring.servers import REDIS, audit_dependencies, redis_dependency

PROGRESS_S = 1.0  # between two lines on how many reservations were compared


async def run_audit(
    settings: Settings,
    sale: Annotated[str | None, typer.Argument(metavar="SALE", help="Compare this sale alone (default: all).")] = None,
    tenant: Annotated[str, typer.Option(metavar="TENANT", help="The tenant of SALE.")] = DEFAULT_TENANT,
    deadline: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Seconds to wait for the ledger.")] = 60.0,
    as_json: Annotated[bool, JsonOption()] = False,
) -> int:
    """Compare Redis with the ledger, of all sales or of one; the result is written to standard output."""

    def progress(line: str) -> None:
        print(line, file=sys.stderr)

    dependencies = audit_dependencies(settings, progress, print)
    dependencies = dependencies._replace(page_read=PacedLines(progress, time.monotonic, PROGRESS_S))
    only = SaleKey(tenant, sale) if sale is not None else None
    return await run_unless_signalled(audit.run(dependencies, settings.shards, only, deadline, as_json))


COMMAND = Command(
    name="audit",
    purpose="compare Redis with the ledger",
    dependencies=(redis_dependency, postgres_dependency),
    settings=(*REDIS, *POSTGRES, "shards", "start_wait_s", *LOGGING),
    run=run_audit,
    kind=Settings,
    more="Exit code 0: they agree, 1: they differ, 2 or 3: unknown.",
    verifies=True,
)
