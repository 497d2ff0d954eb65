"""Sees to it that the persister joins its group again after an answer of Kafka's that nobody foresaw.

aiokafka keeps such an error for whoever next asks it for records, and joins again only once it was heard. Faust asks
behind its back and never hears it: the process would live on, in the group and without partitions, for ever.
"""

import asyncio
import os
from typing import Any

import faust
import structlog
from aiokafka.errors import KafkaError

LOOK_S = 1.0  # as good as a growing delay: each attempt to join takes at least as long

log = structlog.get_logger()


async def rejoin_after_errors(app: faust.App) -> None:
    """Runs beside the app for ever, from before it starts, for an app that was not let into its group never has."""
    while True:
        await asyncio.sleep(LOOK_S)
        consumer: Any = app._consumer
        if consumer is not None and consumer._thread._consumer is not None:  # Faust's, and aiokafka's in its thread
            loop, coordinator = consumer._thread.thread_loop, consumer._thread._consumer._coordinator
            loop.call_soon_threadsafe(surface_error, coordinator)


def surface_error(coordinator: Any) -> None:
    """Hear what keeps the consumer from joining, if anything does; it then tries again. In the consumer's thread."""
    try:
        coordinator.check_errors()
    except KafkaError as error:
        log.warning("server_unavailable", server="Kafka", why=f"{type(error).__name__}: {error}")
        if coordinator._coordination_task.done():
            log.error("unhandled_exception", why="the consumer has given its group up")
            os._exit(1)
