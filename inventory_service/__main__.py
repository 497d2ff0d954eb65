"""Start one process of the inventory service: `python -m inventory_service serve`, or another that `--help` names."""

import sys
from collections.abc import Sequence

from holdfast_runtime.process import build_app, run_app
from inventory_service.wiring import audit, compensate, doctor, init, orphans, relay, restore, serve, topics

COMMANDS = (
    serve.COMMAND,
    relay.COMMAND,
    compensate.COMMAND,
    init.COMMAND,
    topics.COMMAND,
    doctor.COMMAND,
    audit.COMMAND,
    restore.COMMAND,
    orphans.COMMAND,
)
# It logs every attempt to reach a broker that is away; the processes log once that one is, and that it is back.
SILENT_LIBRARIES = ("aiokafka",)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    return run_app(build_app(COMMANDS, "inventory service", SILENT_LIBRARIES), arguments)


if __name__ == "__main__":
    sys.exit(main())
