"""How `restore` takes turns with other processes and with itself, and when a shard counts as opened."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

import pytest

from inventory_service.domain.restore import ON_REQUEST, Permission
from inventory_service.domain.shards import LedgerRow, ShardStatus
from inventory_service.service import audit, restore
from inventory_service.service.audit import AuditResult
from inventory_service.service.relay.load_slots import LoadSlots
from inventory_service.service.relay.takeover import Attempt, Ending
from tests.unit.simulated_time import simulate_time

ROW = LedgerRow(0, 1, 1, 9, "b", 1, 9, "")
CLOSED = ShardStatus(0, "redis", 1, 1, 5, "a", 5, "one before", "", "", 0)


class Installation:
    """Shards that are behind, and take a while to be loaded, each with a sign of life in between."""

    def __init__(self, shards: int, load_s: float = 0.0) -> None:
        self.slots = LoadSlots()
        self.found = {shard: CLOSED._replace(shard=shard) for shard in range(shards)}
        self.lines: list[str] = []
        self.loads: list[int] = []
        self._load_s = load_s

    async def status(self, shard: int) -> ShardStatus:
        return self.found[shard]

    async def row(self, shard: int) -> LedgerRow:
        return ROW

    async def attempt(self, shard: int, permission: Permission) -> Attempt:
        async with self.slots.take(shard) as has_slot:
            if not has_slot:
                return Attempt(Ending.LOADER_BUSY)
            self.loads.append(shard)
            await self.load(shard)
            return Attempt(Ending.LOADED, 2)

    async def load(self, shard: int) -> None:
        for renewals in range(1, 4):
            await asyncio.sleep(self._load_s / 3)
            self.found[shard] = self.found[shard]._replace(renewals=renewals)
        self.found[shard] = self.found[shard]._replace(owner="redis", takeover_token="")

    def loader_slot(self, shard: int) -> AbstractAsyncContextManager[None]:
        return self.slots.wait(shard)

    def started(self, shard: int, token: str) -> bool:
        return False

    async def restore(self) -> int:
        ports, now_s = cast(Any, self), asyncio.get_running_loop().time
        dependencies = restore.Dependencies(ports, ports, ports, ports, ports, self.lines.append, now_s)
        return await restore.run(dependencies, restore.Options(len(self.found), None, ON_REQUEST, False, False))


@pytest.fixture(autouse=True)
async def no_time_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that these tests wait for are timers."""
    simulate_time(monkeypatch)


@pytest.fixture(autouse=True)
def audits(monkeypatch: pytest.MonkeyPatch) -> list[AuditResult | str]:
    """What audits find, one after the other; the last one again and again."""
    found: list[AuditResult | str] = [AuditResult()]

    async def audit_shard(dependencies: audit.Dependencies, shard: int, deadline_s: float) -> AuditResult | str:
        return found.pop(0) if len(found) > 1 else found[0]

    monkeypatch.setattr(audit, "audit_shard", audit_shard)
    return found


async def test_many_shards_are_loaded_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of them waits for longer than a shard may stand still: its own time begins with its turn."""
    monkeypatch.setattr(restore, "STALL_S", 1.0)
    monkeypatch.setattr(restore, "WATCH_S", 0.01)
    installation = Installation(shards=8, load_s=0.15)

    code = await installation.restore()

    assert code == 0, installation.lines
    assert sorted(installation.loads) == list(range(8))


async def test_a_load_that_goes_on_is_waited_for() -> None:
    """A relay is at it: begun anew it would only end later."""
    installation = Installation(shards=1, load_s=0.09)
    installation.found[0] = CLOSED._replace(takeover_token="of a relay")
    by_relay = asyncio.ensure_future(installation.load(0))

    code = await installation.restore()

    assert (code, installation.loads, installation.lines) == (0, [], ["shard 0 serves"])
    await by_relay


@pytest.mark.parametrize("by_relay", [False, True], ids=["by itself", "by a relay"])
async def test_a_shard_that_was_opened_and_not_audited_says_so(audits: list[AuditResult | str], by_relay: bool) -> None:
    """It serves, which is what the exit code tells; the line tells that nothing has compared it with the ledger."""
    audits[:] = ["it gets calls"]
    installation = Installation(shards=1, load_s=0.09)
    relaying = None
    if by_relay:
        installation.found[0] = CLOSED._replace(takeover_token="of a relay")
        relaying = asyncio.ensure_future(installation.load(0))

    code = await installation.restore()

    assert code == 0
    assert installation.lines == [
        "shard 0 serves, and was not compared with the ledger: it gets calls: run `holdfast audit` once it gets fewer"
        " calls"
    ]
    assert relaying is None or relaying.done()


async def test_a_slow_audit_gives_no_shard_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a time of its own: the shard serves by then."""

    async def slow_audit(dependencies: audit.Dependencies, shard: int, deadline_s: float) -> AuditResult:
        await asyncio.sleep(0.4)
        return AuditResult()

    monkeypatch.setattr(audit, "audit_shard", slow_audit)
    monkeypatch.setattr(restore, "STALL_S", 0.2)
    monkeypatch.setattr(restore, "WATCH_S", 0.01)

    installation = Installation(shards=1)

    assert await installation.restore() == 0
    assert installation.lines == ["shard 0 was loaded from the ledger"]


async def test_a_shard_that_moves_again_while_it_is_given_up_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its attempt takes a while to end, and its time is over."""
    monkeypatch.setattr(restore, "STALL_S", 0.05)
    monkeypatch.setattr(restore, "WATCH_S", 0.001)
    installation = Installation(shards=1)

    async def attempt(shard: int, permission: Permission) -> Attempt:
        try:
            await asyncio.Event().wait()
        finally:
            await installation.load(0)
            await asyncio.sleep(0.02)
        raise AssertionError("it was not given up")

    monkeypatch.setattr(installation, "attempt", attempt)

    assert await installation.restore() == 2
    assert "nothing has moved for 0.05 s" in installation.lines[0] or "the ledger stands at" in installation.lines[0]
