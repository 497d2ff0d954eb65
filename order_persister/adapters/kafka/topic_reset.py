"""Restarts the process when the topic was reset, for example deleted and created again.

Offsets then begin again below those that were read. Faust silently drops every record below the offset that it last
read, and every acknowledgement below the one that it last committed. This state of Faust is private and written from
many places at once, so a new process replaces it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import faust
import structlog
from faust.types import TP

from holdfast_runtime.connection_errors import TransientError
from order_persister.adapters.kafka.process_restart import restart_process
from order_persister.domain.shards import PartitionState

log = structlog.get_logger()


async def restart_if_topic_was_reset(app: faust.App, topic: str, partitions: Mapping[int, PartitionState]) -> None:
    """Commit offset 0 for the partitions that were reset, and restart.

    If a pending acknowledgement arrives after it, the new process finds the same and restarts again. Raises
    `TransientError` while Kafka is unavailable.
    """
    # Only a reset lets an end fall below what was read or acknowledged.
    reset = {TP(topic, shard): 0 for shard, partition in partitions.items() if partition.reached > partition.end}
    if not reset:
        return
    with faust_errors():
        if await app.consumer._commit(reset):  # type: ignore[attr-defined]
            log.warning("topic_reset", shards=sorted(tp.partition for tp in reset))
            restart_process(app)


@contextmanager
def faust_errors() -> Iterator[None]:
    """Turn the errors of Faust's consumer into `TransientError`."""
    try:
        yield
    except (RuntimeError, TimeoutError) as error:  # aiokafka's errors are RuntimeErrors
        raise TransientError(f"{type(error).__name__}: {error}") from error
