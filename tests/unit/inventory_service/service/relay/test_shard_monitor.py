"""When a monitor begins another attempt: sooner if a store has moved, and not because another relay tried."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog

from inventory_service.domain.restore import ON_REQUEST, Permission
from inventory_service.domain.shards import LedgerRow, ShardStatus
from inventory_service.service.relay import shard_monitor
from inventory_service.service.relay.shard_monitor import MonitorPorts, ShardMonitor
from inventory_service.service.relay.takeover import Attempt, Ending
from inventory_service.service.relay.turn import ShardTurn

NEEDS_RESTORE = Attempt(Ending.NEEDS_RESTORE)


class Shard:
    """A shard that no attempt opens, on a clock that moves while the monitor sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.found = ShardStatus(0, "redis", 1, 1, 5, "a", 5, "one before", "", "", 0)
        self.row_found = LedgerRow(0, 1, 1, 9, "b", 1, 9, "")
        self.attempts: list[float] = []
        self.logged: list[str] = []
        ports = MonitorPorts(*cast(tuple[Any, Any, Any, Any], (self, self, self, self)), lambda: self.now)
        log = structlog.wrap_logger(None, processors=[self._drop])
        turn = ShardTurn(0, ports.shards, ports.takeover, ports.monotonic)
        self.monitor = ShardMonitor(0, 1, ports, turn, ON_REQUEST, log, lambda: None)

    def _drop(self, _logger: object, _method: str, event: Any) -> Any:
        self.logged.append(event.get("state", ""))
        raise structlog.DropEvent

    async def status(self, shard: int) -> ShardStatus:
        return self.found

    async def row(self, shard: int) -> LedgerRow:
        return self.row_found

    async def attempt(self, shard: int, permission: Permission) -> Attempt:
        self.attempts.append(self.now)
        return NEEDS_RESTORE

    def started(self, shard: int, token: str) -> bool:
        return False

    async def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.01)
        self.happens()

    def happens(self) -> None:
        """What changes in the stores meanwhile."""

    async def attempts_in(self, seconds: float) -> int:
        end = self.now + seconds
        while self.now < end:
            await self.monitor.check()
        return len(self.attempts)


@pytest.fixture
def shard(monkeypatch: pytest.MonkeyPatch) -> Shard:
    shard = Shard()
    monkeypatch.setattr(shard_monitor, "asyncio", SimpleNamespace(sleep=shard.sleep))
    return shard


async def test_epochs_that_other_relays_begin_do_not_hasten_attempts(shard: Shard) -> None:
    """Of two relays each would hasten the other: two epochs a second for as long as no load can end."""

    def another_relay_fences() -> None:
        shard.row_found = shard.row_found._replace(epoch=shard.row_found.epoch + 1, seq=0)

    shard.happens = another_relay_fences  # type: ignore[method-assign]

    assert await shard.attempts_in(60) < 20


async def test_a_ledger_that_takes_commits_hastens_attempts(shard: Shard) -> None:
    """What the attempt failed for may be over."""

    def the_ledger_moves() -> None:
        shard.row_found = shard.row_found._replace(hash=f"{shard.now}")

    shard.happens = the_ledger_moves  # type: ignore[method-assign]

    assert await shard.attempts_in(60) > 60


async def test_a_shard_that_is_being_loaded_says_so(shard: Shard) -> None:
    """Also if it was frozen before: that reason is what the load ends."""
    shard.found = shard.found._replace(hash="void", frozen_reason="NEEDS_RESTORE: behind", takeover_token="other")
    await shard.monitor.check()
    shard.found = shard.found._replace(takeover_token="")
    await shard.monitor.check()

    states = [state for state in shard.logged if state]
    assert states == ["being loaded from the ledger", "frozen: NEEDS_RESTORE: behind"]
