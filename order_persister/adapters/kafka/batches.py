"""Takes records from a stream of Faust's in batches.

Faust's own `noack_take` looks for records twenty times a second, whether or not any have come, and a record that comes
alone waits for the next look.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from faust.types import EventT


async def batches(stream: Any, limit: int, pause_s: float) -> AsyncIterator[list[EventT[bytes]]]:
    """At most `limit` events each, in order, to be acknowledged by the caller; ends when the stream does.

    The first event after a while makes a batch at once. Else a batch begins `pause_s` after the one before it has
    ended, so that events gather meanwhile, or as soon as the queue has `limit` places taken.
    """
    stream.enable_acks = False
    queue, events, next_at = stream.channel.queue, aiter(stream.events()), 0.0
    async for event in events:
        if queue.qsize() < limit:
            await asyncio.sleep(next_at - time.monotonic())
        batch = [event]
        # A rebalance may empty the queue meanwhile; then Kafka delivers all of this again, and this batch waits for it.
        while len(batch) < limit and not queue.empty():
            batch.append(await anext(events))
        yield batch
        next_at = time.monotonic() + pause_s
