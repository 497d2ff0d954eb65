"""Redis behind Sentinels: the primary is killed under load, or demoted and promoted again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest
from holdfast.client import Client
from holdfast.errors import TryLater
from holdfast_embedded.ports import LOOPBACK
from holdfast_embedded.stack import Stack
from holdfast_embedded.valkey import Valkey

from tests.fault_stack import client_without_retries
from tests.faults.independent_checker import Told
from tests.faults.recovery.load import Load
from tests.faults.recovery.reopening import Log, serve_again
from tests.faults.recovery.scenario import (
    BLOCKED,
    PATIENT,
    SHARDS,
    SKUS,
    LentStack,
    more_answers,
    open_sales,
    violations_after_selling_out,
)
from tests.faults.recovery.stores import held_now
from tests.sentinels import FAILS_OVER_S, WatchedRedis, configure, replication_of, watched_redis
from tests.stacks import running_stack
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(600)  # the waits' own deadlines come first, and say more
STOPS_ALONE = {"min-replicas-to-write": "1", "min-replicas-max-lag": "2"}


class WatchedStack(LentStack):
    """A stack whose Redis is behind Sentinels."""

    def __init__(self, stack: Stack, client: Client, log: Log, watched: WatchedRedis) -> None:
        super().__init__(stack, client, log)
        self.watched = watched
        self.primary = watched.redis[0]

    @property
    def redis_url(self) -> str:
        """The primary, as the test knows it."""
        return self.primary.address


class Kept(NamedTuple):
    """Commits when a primary is lost: shard, epoch and seq."""

    elsewhere: set[tuple[int, int, int]]  # that the ledger or Kafka had
    at_risk: set[tuple[int, int, int]]  # that callers were told of and the primary alone had


@dataclass
class Selling:
    """A stack under load."""

    stack: WatchedStack
    load: Load

    async def lose_primary(self, meanwhile: Callable[[], Awaitable[object]]) -> Kept:
        """End it with SIGKILL after something that it alone has, and return once another one is the primary."""
        watched, primary = self.stack.watched, self.stack.primary
        with self.stack.halted("relay"):
            async with watched.cut_off(primary):
                told, held = len(self.load.answers), await held_now(self.stack)
                await meanwhile()
                primary.kill()
            self.stack.primary = await watched.primary_after(primary)
        return Kept(held.in_ledger | held.in_kafka, {answer.commit for answer in self.load.answers[told:]})

    async def fail_over(self, to: Valkey) -> Kept:
        """Have the Sentinels promote this one while the primary runs, and return once they have demoted the other."""
        watched, former = self.stack.watched, self.stack.primary
        await watched.replicate()
        told, held = len(self.load.answers), await held_now(self.stack)
        await eventually(lambda: watched.begins_failover(), FAILS_OVER_S)
        self.stack.primary = await watched.primary_after(former)
        assert self.stack.primary is to
        await eventually(lambda: is_replica_of(former, to), FAILS_OVER_S)
        return Kept(held.in_ledger | held.in_kafka, {answer.commit for answer in self.load.answers[told:]})

    async def goes_on(self) -> None:
        """Every shard serves, and buyers are answered."""
        await serve_again(self.stack, self.load.sales)
        await more_answers(self.load)

    async def violations(self, kept: Kept) -> list[str]:
        """Every broken promise; what the lost primary alone had may be lost, and is announced then."""
        await self.load.end()
        surviving = {answer.commit for answer in self.load.answers} - kept.at_risk
        known = kept.elsewhere | kept.at_risk  # none of which may be lost in silence
        told = Told(list(self.load.answers), known, surviving, may_lose=False, blocked=BLOCKED)
        return await violations_after_selling_out(self.stack, self.load, told)

    async def hear_nothing(self) -> None:
        """Ask for a hold in each shard, and for the same again: Redis has it, and no caller is told so."""
        async with client_without_retries(self.stack.running) as client:
            for sale_id, reservation_id in product(self.load.sales, ["unheard"] * 2):
                with pytest.raises(TryLater) as raised:
                    await client.reserve(sale_id, reservation_id, "ann", {SKUS[0]: 1})
                assert raised.value.reason == "ERROR_REASON_OUTCOME_UNKNOWN"


@asynccontextmanager
async def selling(folder: Path, **settings: str) -> AsyncIterator[Selling]:
    """A stack on a primary with two replicas and three Sentinels, under load."""
    async with watched_redis(folder) as watched:
        log = Log()
        addresses = {"HOLDFAST_SHARDS": str(SHARDS), "HOLDFAST_REDIS_URL": watched.url}
        running = running_stack(folder, log.write_line, **addresses, **settings)
        stack = await asyncio.to_thread(running.__enter__)
        try:
            async with Client(stack.addresses.listen, channels=4, retry=PATIENT) as client:
                watched_stack = WatchedStack(stack, client, log, watched)
                load = await open_sales(watched_stack)
                async with load.running():
                    await more_answers(load)
                    yield Selling(watched_stack, load)
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)


async def test_what_a_killed_primary_alone_had_is_announced(tmp_path: Path) -> None:
    """Promises 1, 2 and 7: no replica and no Kafka had it, and no unit is sold twice by those who serve on."""
    async with selling(tmp_path) as sold:
        kept = await sold.lose_primary(lambda: more_answers(sold.load))
        await sold.goes_on()

        assert await sold.violations(kept) == []
        assert sold.stack.log.announced() != []


async def test_with_a_wait_nobody_hears_of_what_a_killed_primary_alone_had(tmp_path: Path) -> None:
    """Promise 2: what a replica lacks has an unknown outcome, also where it is asked for again, and no loss follows."""
    async with selling(tmp_path, HOLDFAST_REDIS_WAIT="1") as sold:
        kept = await sold.lose_primary(sold.hear_nothing)
        await sold.goes_on()

        assert await sold.violations(kept._replace(at_risk=set())) == []
        assert sold.stack.log.announced() == []


async def test_a_primary_that_is_demoted_and_promoted_again_sells_nothing_twice(tmp_path: Path) -> None:
    """Its process stays, and its data is replaced meanwhile by that of the other one.

    It goes on acknowledging until it is demoted, or has had no replica for as long as it may: that is announced.
    """
    async with selling(tmp_path) as sold:
        first, second, third = sold.stack.watched.redis
        for server, priority in ((first, "1"), (second, "2"), (third, "0")):  # the third is never promoted
            await configure(server, STOPS_ALONE | {"replica-priority": priority})
        there = await sold.fail_over(second)
        await sold.goes_on()
        back = await sold.fail_over(first)
        await sold.goes_on()

        assert await sold.violations(Kept(there.elsewhere | back.elsewhere, there.at_risk | back.at_risk)) == []


async def is_replica_of(server: Valkey, primary: Valkey) -> bool:
    """It has the primary's data."""
    info = await replication_of(server)
    return (info["role"], info.get("master_host"), info.get("master_port"), info.get("master_link_status")) == (
        *("slave", LOOPBACK, primary.port, "up"),
    )
