"""Start one process of the order persister: `python -m order_persister persist`, or another that `--help` names."""

import sys

from holdfast_runtime.process import build_app, main
from order_persister.wiring import COMMANDS

if __name__ == "__main__":
    sys.exit(main(build_app(COMMANDS, "order persister")))
