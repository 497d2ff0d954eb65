"""What `holdfast init` makes of the ways in which a take-over can end."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import structlog

from inventory_service.domain.shards import LedgerRow, ShardStatus
from inventory_service.service import init
from inventory_service.service.relay.takeover import Attempt, Ending


class Blank:
    """A Redis and a ledger that hold nothing."""

    async def status(self, shard: int) -> ShardStatus:
        return ShardStatus(shard, "run", 0, 0, 0, "", 0, "", "", "", 0)

    async def rows(self) -> Mapping[int, LedgerRow]:
        return {}


class Ends:
    """A take-over that ends as it is told to."""

    def __init__(self, ending: Ending) -> None:
        self._ending = ending

    async def attempt(self, shard: int) -> Attempt:
        return Attempt(self._ending, epoch=1)


@pytest.mark.parametrize(
    ("ending", "code"),
    [(Ending.ADOPTED, 0), (Ending.SERVING, 0), (Ending.LEDGER_REFUSES, 2), (Ending.NEEDS_RESTORE, 2)],
)
async def test_a_shard_counts_as_open_only_if_it_is(ending: Ending, code: int) -> None:
    """Whether we opened it or another was faster; whatever else came of it, it serves nobody."""
    servers: Any = Blank()
    told: list[str] = []
    takeover: Any = Ends(ending)

    assert await init.run(1, servers, servers, takeover, structlog.get_logger(), told.append) == code

    assert json.loads(told[0])["open"] is (code == 0)
