"""Redis behind Sentinels: the primary is killed under load, or demoted and promoted again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from holdfast.client import Client
from holdfast_embedded.ports import LOOPBACK
from holdfast_embedded.stack import Stack
from holdfast_embedded.valkey import Valkey
from redis.asyncio import Redis

from tests.faults.independent_checker import Told
from tests.faults.recovery.load import Load
from tests.faults.recovery.reopening import Log, serve_again
from tests.faults.recovery.scenario import (
    BLOCKED,
    PATIENT,
    SHARDS,
    LentStack,
    more_answers,
    open_sales,
    violations_after_selling_out,
)
from tests.faults.recovery.stores import held_now
from tests.sentinels import WatchedRedis, replication_of, watched_redis
from tests.stacks import running_stack
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(600)  # the waits' own deadlines come first, and say more


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


@dataclass
class Selling:
    """A stack under load."""

    stack: WatchedStack
    load: Load

    async def kill_primary(self) -> set[tuple[int, int, int]]:
        """End it with SIGKILL, and return once another one serves: the commits that ledger or Kafka had before."""
        held = await held_now(self.stack)
        self.stack.primary.kill()
        self.stack.primary = await self.stack.watched.primary_after(self.stack.primary)
        return held.in_ledger | held.in_kafka

    async def goes_on(self) -> None:
        """Every shard serves, and buyers are answered."""
        await serve_again(self.stack, self.load.sales)
        await more_answers(self.load)

    async def violations(self, recorded: set[tuple[int, int, int]], kept: set[tuple[int, int, int]]) -> list[str]:
        """Every broken promise; what is `kept` must be there, and what else is lost must be announced."""
        await self.load.end()
        told = Told(list(self.load.answers), recorded, kept, may_lose=False, blocked=BLOCKED)
        return await violations_after_selling_out(self.stack, self.load, told)


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


@pytest.mark.parametrize("replicas", [0, 1])
async def test_a_primary_that_is_killed_is_followed_by_its_replica(tmp_path: Path, replicas: int) -> None:
    """Promises 1, 2 and 7: without a wait a loss is announced, and with one there is none."""
    async with selling(tmp_path, HOLDFAST_REDIS_WAIT=str(replicas)) as sold:
        kept = await sold.kill_primary()
        at_the_fault = list(sold.load.answers)
        await sold.goes_on()

        recorded = set(kept)
        if replicas:
            kept |= {answer.commit for answer in at_the_fault}
        kept |= {answer.commit for answer in sold.load.answers[len(at_the_fault) :]}
        assert await sold.violations(recorded, kept) == []
        if replicas:
            assert sold.stack.log.announced() == []


async def test_a_primary_that_is_demoted_and_promoted_again_sells_nothing_twice(tmp_path: Path) -> None:
    """Its process and its connections stay, and its data is replaced meanwhile by that of the other one."""
    async with selling(tmp_path) as sold:
        first = sold.stack.primary
        await fail_over(sold.stack)
        await sold.goes_on()
        while sold.stack.primary is not first:
            await fail_over(sold.stack)
        await sold.goes_on()

        assert await sold.violations(set(), set()) == []


async def fail_over(stack: WatchedStack) -> None:
    """Have the Sentinels promote a replica while the primary runs."""
    await stack.watched.replicate()
    former = stack.primary
    async with Redis.from_url(f"redis://{stack.watched.sentinels[0].address}") as sentinel:
        await sentinel.execute_command("SENTINEL", "FAILOVER", "holdfast")  # type: ignore[no-untyped-call]
    stack.primary = await stack.watched.primary_after(former)
    await eventually(lambda: is_replica_of(former, stack.primary))


async def is_replica_of(server: Valkey, primary: Valkey) -> bool:
    """It has the primary's data."""
    info = await replication_of(server)
    return (info["role"], info.get("master_host"), info.get("master_port"), info.get("master_link_status")) == (
        *("slave", LOOPBACK, primary.port, "up"),
    )
