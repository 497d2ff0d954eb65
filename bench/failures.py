"""What ends a benchmark without figures."""

import sys
from collections.abc import Callable

from holdfast_bench.load import LoadFailed
from holdfast_bench.runs import WrongAnswers


class BenchmarkFailed(RuntimeError):
    """There are no figures, for the reason in the message."""


FAILURES = (BenchmarkFailed, LoadFailed, WrongAnswers)


def exit_code_of(measure: Callable[[], int]) -> int:
    """The exit code of a benchmark: 1, and the reason on stderr, if there are no figures."""
    try:
        return measure()
    except FAILURES as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
