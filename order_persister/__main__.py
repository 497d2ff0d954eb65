"""Start one process of the order persister: `python -m order_persister persist`, or another that `--help` names."""

import sys
from collections.abc import Sequence

from holdfast_runtime.process import build_app, load_commands, run_app

# Each is a module of `wiring`, which is imported when its command runs or its help is shown.
WIRING = "order_persister.wiring"
COMMANDS = ("persist", "migrate")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    return run_app(build_app(load_commands(WIRING, COMMANDS, words), "order persister"), words)


if __name__ == "__main__":
    sys.exit(main())
