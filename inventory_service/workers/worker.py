"""The part of a worker: it reports to its supervisor once it takes calls, and ends when the supervisor has ended."""

import json
import os
import sys
import threading
from typing import NamedTuple

STDIN = 0
ORPHANED = 1  # the exit code of a worker whose supervisor has ended


class Report(NamedTuple):
    """What a worker writes to its standard output, as a line of JSON, once it takes calls."""

    metrics_url: str  # of its own page; empty if it serves none


def send_report(report: Report) -> None:
    """Tell the supervisor."""
    print(json.dumps(report._asdict()), file=sys.stdout, flush=True)


def report_from_line(line: bytes) -> Report | None:
    """The report in a line of a worker's output; None if it is something else."""
    try:
        return Report(**json.loads(line))
    except (ValueError, TypeError):
        return None


def end_with_supervisor() -> None:
    """End this process at once when its supervisor has ended, however that ended: standard input is closed then.

    A thread waits for it, so that an event loop that is busy delays nothing.
    """
    threading.Thread(target=_exit_when_orphaned, name="supervisor", daemon=True).start()


def _exit_when_orphaned() -> None:
    while os.read(STDIN, 1):
        pass  # nothing is ever written to it
    os._exit(ORPHANED)
