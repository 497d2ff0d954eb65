"""A server logs and counts the commits that it observed and that a take-over did not find, each once."""

from collections.abc import Mapping
from typing import cast

import pytest
import structlog
from structlog.testing import capture_logs

from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.shard_ports import Shards
from inventory_service.domain.shards import CommitId, LedgerUnavailable, RedisUnavailable, ShardStatus
from inventory_service.service.lost_commits import MAX_ATTEMPTS, LostCommitsWatch

SHARD = 3


class Servers:
    """Redis and the ledger, of which each may be away, and the counter."""

    def __init__(self) -> None:
        self.in_redis: tuple[int, CommitId] | None = (10, CommitId(0, 0))
        self.in_ledger: Mapping[int, CommitId] | None = {10: CommitId(0, 0)}
        self.counted: list[tuple[int, int]] = []
        self.asked = 0
        self.failure: Exception | None = None
        self.watch = LostCommitsWatch(
            cast(Shards, self), self, lambda *counted: self.counted.append(counted), structlog.get_logger()
        )
        self.heads = ObservedHeads(self.watch.epoch_changed)

    async def status(self, shard: int) -> ShardStatus:
        self.asked += 1
        if self.failure:
            raise self.failure
        if self.in_redis is None:
            raise RedisUnavailable
        epoch, base = self.in_redis
        return ShardStatus(shard, "id", 4, epoch, 0, "", 0, "id", "", "", 0, base=base)

    async def bases(self, shard: int) -> Mapping[int, CommitId]:
        self.asked += 1
        if self.in_ledger is None:
            raise LedgerUnavailable
        return self.in_ledger

    async def observe(self, epoch: int, seq: int) -> list[tuple[int, int]]:
        """Observe a commit and check; what has been counted by then."""
        self.heads.observe(SHARD, CommitId(epoch, seq))
        await self.watch.check()
        return self.counted


async def test_what_a_take_over_did_not_find_is_logged_and_counted_once() -> None:
    """Calls that were answered had made these commits."""
    servers = Servers()
    await servers.observe(10, 100)
    servers.in_redis = 20, CommitId(10, 97)

    with capture_logs() as logged:
        await servers.observe(20, 4)
        await servers.observe(20, 5)

    lost = {"shard": SHARD, "epoch": 20, "first": "10-98", "last": "10-100", "commits": 3}
    assert logged == [{"event": "acknowledged_and_lost", "log_level": "error", **lost}]
    assert servers.counted == [(SHARD, 3)]


async def test_within_an_epoch_no_server_is_asked() -> None:
    """A reply is the only news that most calls bring."""
    servers = Servers()
    await servers.observe(10, 1)
    before = servers.asked

    for seq in (2, 3, 3, 2):
        await servers.observe(10, seq)

    assert servers.asked == before


async def test_epochs_that_were_skipped_are_asked_of_the_ledger() -> None:
    """Redis knows only on which commit its present epoch builds."""
    servers = Servers()
    await servers.observe(10, 100)
    servers.in_redis = 40, CommitId(30, 7)
    servers.in_ledger = {20: CommitId(10, 97), 30: CommitId(20, 50), 40: CommitId(30, 7)}

    assert await servers.observe(40, 0) == [(SHARD, 3)]


async def test_a_change_is_judged_as_soon_as_its_servers_are_back() -> None:
    """Nothing is forgotten meanwhile, nor counted twice."""
    servers = Servers()
    await servers.observe(10, 100)
    servers.in_redis, servers.in_ledger = None, None
    assert await servers.observe(20, 1) == []

    servers.in_ledger = {20: CommitId(10, 97)}

    assert await servers.observe(20, 2) == [(SHARD, 3)]
    assert await servers.observe(20, 3) == [(SHARD, 3)]


async def test_an_epoch_that_the_ledger_has_forgotten_is_known_from_before() -> None:
    """Redis, ledger and Kafka were all set back to a time before a take-over."""
    servers = Servers()
    servers.in_redis, servers.in_ledger = (20, CommitId(10, 97)), {}
    await servers.observe(20, 5)

    servers.in_redis = 30, CommitId(10, 90)

    assert await servers.observe(30, 1) == [(SHARD, 12)]


async def test_a_loss_that_nothing_can_tell_of_is_logged() -> None:
    """The ledger was set back to before an epoch that had no commit, and that another was built on."""
    servers = Servers()
    await servers.observe(10, 100)
    servers.in_redis, servers.in_ledger = (40, CommitId(30, 7)), {}

    with capture_logs() as logged:
        await servers.observe(40, 0)
        for _ in range(2 * MAX_ATTEMPTS):
            await servers.watch.check()

    assert [entry["event"] for entry in logged] == ["acknowledged_perhaps_lost"]
    assert (logged[0]["last"], servers.counted) == ("10-100", [])


async def test_a_change_that_could_not_be_judged_for_a_bug_is_judged_later() -> None:
    """And so is whatever came behind it."""
    servers = Servers()
    await servers.observe(10, 100)
    servers.in_redis = 20, CommitId(10, 97)
    servers.failure = ValueError("a bug")
    with pytest.raises(ValueError, match="a bug"):
        await servers.observe(20, 4)

    servers.failure = None
    await servers.watch.check()

    assert servers.counted == [(SHARD, 3)]
