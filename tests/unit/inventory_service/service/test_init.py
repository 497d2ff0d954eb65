"""The exit code of `holdfast init` for each ending of a take-over."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import structlog

from inventory_service.domain.shards import LedgerRow, Offsets, ShardStatus
from inventory_service.service import init
from inventory_service.service.relay.takeover import Attempt, Ending


class BlankServers:
    """A Redis and a ledger that hold nothing."""

    async def status(self, shard: int) -> ShardStatus:
        return ShardStatus(shard, "run", 0, 0, 0, "", 0, "", "", "", 0)

    async def offsets(self, shard: int) -> Offsets:
        return Offsets(0, 0)

    async def rows(self) -> Mapping[int, LedgerRow]:
        return {}


class FakeTakeover:
    """A take-over with the given ending."""

    def __init__(self, ending: Ending) -> None:
        self._ending = ending

    async def attempt(self, shard: int) -> Attempt:
        return Attempt(self._ending, epoch=1)


@pytest.mark.parametrize(
    ("ending", "code"),
    [(Ending.ADOPTED, 0), (Ending.SERVING, 0), (Ending.LEDGER_REFUSES, 2), (Ending.NEEDS_RESTORE, 2)],
)
async def test_init_succeeds_only_if_the_shard_serves(ending: Ending, code: int) -> None:
    """Opened by this take-over or by a faster one; after any other ending the shard does not serve."""
    servers: Any = BlankServers()
    printed: list[str] = []
    takeover: Any = FakeTakeover(ending)

    assert await init.run(1, servers, servers, servers, takeover, structlog.get_logger(), printed.append) == code

    assert json.loads(printed[0])["open"] is (code == 0)
