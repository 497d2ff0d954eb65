"""Builds `migrate`, which brings the ledger's tables up to date."""

import json
import sys
from typing import Annotated

import structlog

from holdfast_runtime.connection_errors import TransientError
from holdfast_runtime.postgres import postgres_dependency
from holdfast_runtime.process import Command, JsonOption
from holdfast_runtime.settings import LOGGING, POSTGRES, SharedSettings
from order_persister.adapters.ledger.migrator import migrate, migrations
from order_persister.adapters.ledger.postgres import postgres_errors

EXIT_NOT_MIGRATED = 2

log = structlog.get_logger()


async def run_migrate(settings: SharedSettings, as_json: Annotated[bool, JsonOption()] = False) -> int:
    """Run the migrations that have not run; several processes may do so at once."""
    try:
        with postgres_errors():
            ran = await migrate(settings.postgres_dsn)
    except TransientError as error:
        print(f"Postgres cannot be used: {error}; start it, or set HOLDFAST_POSTGRES_DSN", file=sys.stderr)
        return EXIT_NOT_MIGRATED
    log.info("migrated", ran=ran)
    if as_json:
        print(json.dumps({"ran": ran, "tables_of": migrations()[-1].name}))
    return 0


COMMAND = Command(
    name="migrate",
    purpose="bring the ledger's tables up to date; safe to run again, and from many processes at once",
    dependencies=(postgres_dependency,),
    settings=(*POSTGRES, "start_wait_s", *LOGGING),
    run=run_migrate,
    kind=SharedSettings,
)
