"""A server counts the commits that its callers were told of and that a take-over did not find."""

import shutil
from pathlib import Path

import pytest
import structlog
from holdfast_embedded.valkey import Valkey
from structlog.testing import capture_logs

from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.adapters.redis.scripts import RedisScripts
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.adapters.redis.stock import RedisStock
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.results import Failure
from inventory_service.service.lost_commits import LostCommitsWatch
from tests.integration.shard_processes import SHARDS, ShardProcesses
from tests.integration.shard_steps import crash, restart_from_copy
from tests.waiting import eventually


class CountingServer:
    """A server as far as it observes shard 0 and counts what is lost of it."""

    def __init__(self, processes: ShardProcesses) -> None:
        self.counted: list[tuple[int, int]] = []
        shards = RedisShards(connections_to(processes.redis_url, size=1))
        self.watch = LostCommitsWatch(
            shards, processes.ledger, lambda *lost: self.counted.append(lost), structlog.get_logger()
        )
        scripts = RedisScripts(connections_to(processes.redis_url, size=1), ObservedHeads(self.watch.epoch_changed))
        self._stock = RedisStock(scripts, SHARDS, 1000)

    async def call(self) -> list[tuple[int, int]]:
        """A call of the shard, repeated until it is served; what has been counted by then."""
        await eventually(self._is_served)
        await self.watch.check()
        return self.counted

    async def _is_served(self) -> bool:
        return not isinstance(await self._stock.list_sales(0), Failure)


@pytest.mark.parametrize("skipped", [0, 2], ids=["the next epoch", "two epochs were skipped"])
async def test_what_an_older_copy_of_redis_lacks_is_counted_once(
    processes: ShardProcesses, server: Valkey, tmp_path: Path, skipped: int
) -> None:
    """The ledger has the copy's head, and the commits after it were in Redis alone: the take-over adopts the copy."""
    counting = CountingServer(processes)
    async with processes.at_work():
        await processes.commit(count=3)
        await eventually(processes.is_drained)
    shutil.copytree(server.data_dir, tmp_path / "copy")
    await processes.commit(count=2)
    assert await counting.call() == []
    await restart_from_copy(processes, server, tmp_path / "copy")
    async with processes.at_work():
        for _ in range(skipped):
            await eventually(processes.serves)
            await processes.commit(count=4)
            await crash(processes, server)

        with capture_logs() as logged:
            assert await counting.call() == [(0, 2)]
            assert await counting.call() == [(0, 2)]

    first, last = f"{processes.epoch}-4", f"{processes.epoch}-5"
    [event] = [event for event in logged if event["event"] == "acknowledged_and_lost"]
    assert (event["shard"], event["first"], event["last"], event["commits"]) == (0, first, last, 2)
