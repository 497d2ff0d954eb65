"""Sees that a topic was wiped or made anew under a running persister, and begins anew itself.

Offsets then begin again at 0, and Faust silently drops every record below the offset that it last read, and every
acknowledgement below the one that it last committed. Its books have no public name and are filled from many sides at
once, so they are not mended but left behind.
"""

import os
import sys
from collections.abc import Collection
from shutil import rmtree

import faust
import structlog
from faust.types import TP

from holdfast_runtime.connection_errors import TransientError

log = structlog.get_logger()


async def restart_if_topic_was_reset(app: faust.App, assigned: Collection[TP]) -> None:
    """Tell Kafka that nothing is read of a partition that was wiped, and become a new process.

    If an acknowledgement that was under way overtakes this, the new process sees it and does the same again. Raises
    `TransientError` while Kafka is away.
    """
    if not assigned:
        return
    reached = {tp: _reached(app, tp) for tp in assigned}  # before the ends are asked for, which may rise meanwhile
    try:
        ends = await app.consumer.highwaters(*assigned)
        # Only a wipe lets an end fall below what was read or acknowledged.
        wiped = {tp: 0 for tp in assigned if reached[tp] > ends.get(tp, reached[tp])}
        if wiped and await app.consumer._commit(wiped):  # type: ignore[attr-defined]
            log.warning("topic_reset", shards=sorted(tp.partition for tp in wiped))
            _restart(app)
    except (RuntimeError, TimeoutError) as error:  # aiokafka's errors are RuntimeErrors
        raise TransientError(f"{type(error).__name__}: {error}") from error


def _reached(app: faust.App, tp: TP) -> int:
    """The offset up to which something was read or acknowledged."""
    read, acknowledged = app.consumer._read_offset[tp], app.consumer._committed_offset[tp]  # type: ignore[attr-defined]
    return max(read or 0, acknowledged or 0)


def _restart(app: faust.App) -> None:
    """Start the same program in the place of this one; files and connections close by themselves, the folder stays."""
    rmtree(app.conf.datadir, ignore_errors=True)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
