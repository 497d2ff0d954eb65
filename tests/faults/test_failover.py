"""A Redis with a replica fails over and back under load, while the replica lags behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from holdfast.client import Client
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
from tests.faults.recovery.switching_proxy import HOST, SwitchingProxy
from tests.servers import StartValkey
from tests.stacks import running_stack
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # the waits' own deadlines come first, and say more
REPLICATED = {
    "min-replicas-to-write": "1",
    "min-replicas-max-lag": "60",  # a replica that lags behind is to stay one for as long as buyers need
    "repl-timeout": "120",
    "repl-diskless-sync-delay": "0",
    "repl-backlog-ttl": "0",
}


@dataclass
class Node:
    """A Redis, and the link by which another one replicates it."""

    server: Valkey
    link: SwitchingProxy

    async def command(self, *words: str) -> object:
        """Run one command."""
        async with Redis.from_url(self.server.address, decode_responses=True) as redis:
            return await redis.execute_command(*words)  # type: ignore[no-untyped-call]

    async def follow(self, master: "Node") -> None:
        """Replicate another Redis, whose data replaces this one's."""
        await self.command("REPLICAOF", HOST, str(master.link.port))

    async def lead(self) -> None:
        """Be the master."""
        await self.command("REPLICAOF", "NO", "ONE")

    async def offset(self) -> int:
        """How much of the history of writes it has, in bytes; a master and its replica count the same ones."""
        async with Redis.from_url(self.server.address, decode_responses=True) as redis:
            replication = await redis.info("replication")
            return int(replication.get("slave_repl_offset", replication["master_repl_offset"]))

    async def has(self, written: int) -> bool:
        """It has so much of the history of writes."""
        return await self.offset() >= written

    async def is_in_sync(self) -> bool:
        """It replicates, and has received its master's data."""
        async with Redis.from_url(self.server.address, decode_responses=True) as redis:
            return bool((await redis.info("replication")).get("master_link_status") == "up")


@dataclass
class Failovers:
    """Two Redis behind one address, and what was told and kept around each failover."""

    first: Node
    second: Node
    address: SwitchingProxy
    load: Load
    stack: LentStack
    kept: set[tuple[int, int, int]] = field(default_factory=set)  # commits that the ledger or Kafka had
    at_risk: set[tuple[int, int, int]] = field(default_factory=set)  # told while only the old master may have had them

    async def fail_over(self, master: Node, replica: Node, lagging: bool) -> None:
        """Promote a replica, which may lag behind, and make the master a replica of it; no connection is cut."""
        told, written = len(self.load.answers), await master.offset()
        await eventually(partial(replica.has, written))  # what was told by now
        if lagging:
            master.link.stall()
            await more_answers(self.load)
        held = await held_now(self.stack)
        await replica.lead()
        await master.follow(replica)
        self.address.switch(replica.server.port)
        master.link.cut()
        self.kept |= held.in_ledger | held.in_kafka
        self.at_risk |= {answer.commit for answer in self.load.answers[told:]}
        await eventually(master.is_in_sync)

    async def violations(self) -> list[str]:
        """Every broken promise; what one node alone had when it was demoted may be lost."""
        await self.load.end()
        told = {answer.commit for answer in self.load.answers}
        kept = self.kept | (told - self.at_risk)
        return await violations_after_selling_out(
            self.stack, self.load, Told(list(self.load.answers), self.kept, kept, may_lose=False, blocked=BLOCKED)
        )


@pytest.fixture
async def failovers(start_valkey: StartValkey, tmp_path: Path) -> AsyncIterator[Failovers]:
    """A stack on a Redis with one replica, without which it takes no write, under load."""
    async with AsyncExitStack() as running:
        first, second = [await node(start_valkey(), running) for _ in range(2)]
        await second.follow(first)
        await eventually(second.is_in_sync)
        address = await running.enter_async_context(SwitchingProxy(first.server.port).listening())
        stack = await running.enter_async_context(stack_on(f"redis://{HOST}:{address.port}/0", tmp_path))
        load = await open_sales(stack)
        async with load.running():
            await more_answers(load)
            yield Failovers(first, second, address, load, stack)


async def node(server: Valkey, running: AsyncExitStack) -> Node:
    """A Redis that takes writes only with a replica."""
    node = Node(server, await running.enter_async_context(SwitchingProxy(server.port).listening()))
    for name, value in REPLICATED.items():
        await node.command("CONFIG", "SET", name, value)
    return node


@asynccontextmanager
async def stack_on(redis_url: str, folder: Path) -> AsyncIterator[LentStack]:
    """A stack on a Redis of the test's own."""
    log = Log()
    running = running_stack(folder, log.write_line, HOLDFAST_SHARDS=str(SHARDS), HOLDFAST_REDIS_URL=redis_url)
    stack = await asyncio.to_thread(running.__enter__)
    try:
        async with Client(stack.addresses.listen, channels=4, retry=PATIENT) as client:
            yield LentStack(stack, client, log)
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


@pytest.mark.parametrize("back", ["at once", "after it has served"])
async def test_a_redis_that_fails_over_to_a_lagging_replica_and_back_loses_no_order(
    failovers: Failovers, back: str
) -> None:
    """Promises 1, 2 and 7: no shard serves the older data, under whichever master it comes back.

    With `at once` the first Redis is the master again, in the same process, before the second has served at all: only
    its identity tells that its data was replaced.
    """
    await failovers.fail_over(failovers.first, failovers.second, lagging=True)
    if back == "after it has served":
        await serve_again(failovers.stack, failovers.load.sales)
        await more_answers(failovers.load)
    await failovers.fail_over(failovers.second, failovers.first, lagging=back != "at once")
    await serve_again(failovers.stack, failovers.load.sales)
    await more_answers(failovers.load)

    assert await failovers.violations() == []
