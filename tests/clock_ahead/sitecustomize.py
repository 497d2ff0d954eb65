"""Sleeps by select in every Python process whose clock was moved: `time.sleep` fails under libfaketime 0.9.10.

CPython sleeps until a moment of the monotonic clock. That version takes the moment for one of the moved clock, and the
kernel answers EINVAL.
"""

import select
import time
from typing import SupportsIndex


def sleep(seconds: float | SupportsIndex, /) -> None:
    """Halt this thread."""
    select.select([], [], [], float(seconds))


time.sleep = sleep
