"""Loads shard 0 in a process of its own, which kills itself after so many steps: `python -m ... URL DSN STEPS`."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from inventory_service.domain.shard_load import SalePart
from inventory_service.domain.shards import BegunTakeover, Fenced
from tests.integration.loaded_shard import LoadedShard


class KilledTarget:
    """Redis, to load into, for so many steps."""

    def __init__(self, shard: LoadedShard, steps: int) -> None:
        self._target = shard.target
        self._steps = steps
        self.renew, self.size = shard.target.renew, shard.target.size

    async def begin_load(self, takeover: BegunTakeover, time_ms: int) -> int | None:
        self._step()
        return await self._target.begin_load(takeover, time_ms)

    async def clear(self, takeover: BegunTakeover) -> bool:
        self._step()
        return await self._target.clear(takeover)

    async def write_part(self, takeover: BegunTakeover, number: int, sales: Sequence[SalePart]) -> bool:
        self._step()
        return await self._target.write_part(takeover, number, sales)

    async def finish_load(self, takeover: BegunTakeover, fenced: Fenced, time_ms: int, parts: int) -> bool:
        self._step()
        return await self._target.finish_load(takeover, fenced, time_ms, parts)

    def _step(self) -> None:
        if self._steps == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._steps -= 1


async def load(url: str, dsn: str, steps: int) -> None:
    """Begin a take-over, fence it, and load."""
    shard = LoadedShard(url, dsn)
    begun, fenced = await shard.begin_takeover(f"killed-{steps}")
    assert await shard.load_in(begun, fenced, KilledTarget(shard, steps))


if __name__ == "__main__":
    asyncio.run(load(sys.argv[1], sys.argv[2], int(sys.argv[3])))
