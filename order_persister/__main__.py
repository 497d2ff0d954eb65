"""Start one process of the order persister: `python -m order_persister persist`, or another that `--help` names."""

import sys
from collections.abc import Sequence

from holdfast_runtime.process import build_app, run_app
from order_persister.wiring import COMMANDS


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    return run_app(build_app(COMMANDS, "order persister"), arguments)


if __name__ == "__main__":
    sys.exit(main())
