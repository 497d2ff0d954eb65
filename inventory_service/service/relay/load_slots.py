"""Which shards this process may load at the moment: a few at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LOADS_AT_ONCE = 2


class LoadSlots:
    """Gives slots to shards in the order in which they asked."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(LOADS_AT_ONCE)
        self._shards: set[int] = set()

    @asynccontextmanager
    async def wait(self, shard: int) -> AsyncIterator[None]:
        """Wait for a slot; inside the block the shard has it."""
        async with self._free:
            self._shards.add(shard)
            try:
                yield
            finally:
                self._shards.remove(shard)

    @asynccontextmanager
    async def take(self, shard: int) -> AsyncIterator[bool]:
        """Whether the shard has a slot inside the block: it waited for one before, or one is free now."""
        if shard in self._shards or self._free.locked():
            yield shard in self._shards
        else:
            async with self.wait(shard):
                yield True
