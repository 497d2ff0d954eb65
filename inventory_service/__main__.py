"""Start one process of the inventory service: `python -m inventory_service serve`, or another that `--help` names."""

import sys
from collections.abc import Sequence

from holdfast_runtime.process import build_app, load_commands, run_app

# Each is a module of `wiring`, which is imported when its command runs or its help is shown.
WIRING = "inventory_service.wiring"
COMMANDS = ("serve", "relay", "compensate", "init", "topics", "doctor", "audit", "restore", "orphans")
# It logs every attempt to reach a broker that is away; the processes log once that one is, and that it is back.
SILENT_LIBRARIES = ("aiokafka",)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    commands = load_commands(WIRING, COMMANDS, words)
    return run_app(build_app(commands, "inventory service", SILENT_LIBRARIES), words)


if __name__ == "__main__":
    sys.exit(main())
