"""When a stream has to end by itself."""

import asyncio

from inventory_service.rpc.server import CONNECTION_GRACE_MS
from inventory_service.rpc.stream_life import LONGEST_S, StreamLife
from tests.waiting import LONG_S


async def test_a_stream_is_over_as_soon_as_its_server_drains() -> None:
    draining = asyncio.Event()
    over = asyncio.ensure_future(StreamLife(draining).over())
    await asyncio.sleep(0)
    assert not over.done()

    draining.set()

    await asyncio.wait_for(over, LONG_S)


async def test_a_stream_is_over_at_its_age_and_no_age_is_above_the_grace_of_a_connection() -> None:
    """gRPC would cut it without a reason then."""
    await asyncio.wait_for(StreamLife(asyncio.Event(), shortest_s=0.0, longest_s=0.001).over(), LONG_S)

    assert LONGEST_S * 1000 < CONNECTION_GRACE_MS
