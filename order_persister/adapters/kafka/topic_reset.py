"""Restarts the process when the topic was reset, for example deleted and created again.

Offsets then begin again below those that were read. Faust silently drops every record below the offset that it last
read, and every acknowledgement below the one that it last committed. This state of Faust is private and written from
many places at once, so a new process replaces it.
"""

from collections.abc import Collection

import faust
import structlog
from faust.types import TP

from holdfast_runtime.connection_errors import TransientError
from order_persister.adapters.kafka.process_restart import restart_process

log = structlog.get_logger()


async def restart_if_topic_was_reset(app: faust.App, assigned: Collection[TP]) -> None:
    """Commit offset 0 for the partitions that were reset, and restart.

    If a pending acknowledgement arrives after it, the new process finds the same and restarts again. Raises
    `TransientError` while Kafka is unavailable.
    """
    if not assigned:
        return
    reached = {tp: _reached(app, tp) for tp in assigned}  # before the ends are read, because both rise meanwhile
    try:
        ends = await app.consumer.highwaters(*assigned)
        # Only a reset lets an end fall below what was read or acknowledged.
        reset = {tp: 0 for tp in assigned if reached[tp] > ends.get(tp, reached[tp])}
        if reset and await app.consumer._commit(reset):  # type: ignore[attr-defined]
            log.warning("topic_reset", shards=sorted(tp.partition for tp in reset))
            restart_process(app)
    except (RuntimeError, TimeoutError) as error:  # aiokafka's errors are RuntimeErrors
        raise TransientError(f"{type(error).__name__}: {error}") from error


def _reached(app: faust.App, tp: TP) -> int:
    """The offset up to which records were read or acknowledged."""
    read, acknowledged = app.consumer._read_offset[tp], app.consumer._committed_offset[tp]  # type: ignore[attr-defined]
    return max(read or 0, acknowledged or 0)
