"""When a server stops new reservations because Redis is short of memory."""

import pytest

from inventory_service.adapters.redis.memory import share_from_info
from inventory_service.domain.backpressure import Backpressure
from inventory_service.domain.shards import RedisUnavailable
from inventory_service.service.memory_watch import MemoryWatch

OUTBOX_LIMIT = 1000


class FakeMemory:
    """Has the share that the test sets."""

    def __init__(self) -> None:
        self.share: float | None = 0.0

    async def used_share(self) -> float:
        if self.share is None:
            raise RedisUnavailable("away")
        return self.share


async def test_reservations_stop_at_the_limit_and_resume_below_it() -> None:
    """The limit itself is too much already; the share is exported each time."""
    store, backpressure, shown = FakeMemory(), Backpressure(OUTBOX_LIMIT), list[float]()
    watch = MemoryWatch(store.used_share, 0.9, backpressure, shown.append)

    seen = []
    for share in (0.0, 0.89, 0.9, 1.2, 0.5):
        store.share = share
        await watch.check()
        seen.append(backpressure.max_commits_ahead)

    assert seen == [OUTBOX_LIMIT, OUTBOX_LIMIT, 0, 0, OUTBOX_LIMIT]
    assert shown == [0.0, 0.89, 0.9, 1.2, 0.5]


async def test_an_unavailable_redis_changes_nothing() -> None:
    """It may still be short of memory when it is back."""
    store, backpressure = FakeMemory(), Backpressure(OUTBOX_LIMIT)
    watch = MemoryWatch(store.used_share, 0.9, backpressure, lambda share: None)
    store.share = 0.95
    await watch.check()

    store.share = None
    with pytest.raises(RedisUnavailable):
        await watch.check()

    assert backpressure.max_commits_ahead == 0


@pytest.mark.parametrize(
    ("info", "share"),
    [
        ("# Memory\r\nused_memory:600\r\nmaxmemory:1000\r\nmem_not_counted_for_evict:100\r\n", 0.5),
        ("# Memory\r\nused_memory:600\r\nmaxmemory:0\r\nmem_not_counted_for_evict:0\r\n", 0.0),
    ],
    ids=["limited", "unlimited"],
)
def test_buffers_do_not_count_and_no_limit_is_never_reached(info: str, share: float) -> None:
    """Redis computes it in the same way."""
    assert share_from_info(info) == share
