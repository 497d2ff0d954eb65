"""A running stack and the faults that a test injects: kill, stop, halt and restart its processes."""

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

from holdfast.client import Client
from holdfast.retry import RetryPolicy
from holdfast_embedded.stack import Stack
from redis.asyncio import Redis

from tests import stacks
from tests.crowd import SKU, Acknowledged
from tests.servers import connected
from tests.stacks import CommandResult, run_command
from tests.waiting import eventually

SHARDS = 4
HOLD_TTL = timedelta(minutes=10)  # long enough for a test that confirms or releases its holds itself
BRIEF = timedelta(seconds=2)  # for simulated buyers: holds that they leave open expire soon
SERVES_S = 90.0  # a relay retries a failed take-over after half a minute at most
ONCE = RetryPolicy(overall_s=20.0, attempt_s=20.0, first_delay_s=60.0)
_sale_numbers = itertools.count(1)


class Watermark(NamedTuple):
    """How far the ledger is in one shard."""

    epoch: int
    seq: int
    hash: str
    frozen_reason: str  # empty: not frozen


class FaultStack:
    """A running stack and a client of it."""

    def __init__(self, stack: Stack, client: Client) -> None:
        self.running = stack
        self.client = client

    @property
    def dsn(self) -> str:
        """The ledger's address."""
        return self.running.addresses.postgres_dsn

    @property
    def redis_url(self) -> str:
        """The address of the Redis that takes writes."""
        return self.running.addresses.redis_url

    async def open_sale(self, units: int, hold_ttl: timedelta = HOLD_TTL) -> str:
        """Make a sale of its own name."""
        sale_id = f"sale-{next(_sale_numbers)}"
        await self.client.create_sale(sale_id, {SKU: units}, hold_ttl=hold_ttl)
        return sale_id

    async def sell(self, sale_id: str, orders: int, first: int = 0) -> dict[str, Acknowledged]:
        """Hold and confirm orders of one unit, one after the other, so that each call makes a commit of its own."""
        acknowledged: dict[str, Acknowledged] = {}
        for name in (f"order-{number}" for number in range(first, first + orders)):
            held = await self.client.reserve(sale_id, name, f"buyer-of-{name}", {SKU: 1})
            assert held.HasField("reservation"), held
            acknowledged |= await self.settle(sale_id, {name: 1})
        return acknowledged

    async def settle(self, sale_id: str, holds: Mapping[str, int]) -> dict[str, Acknowledged]:
        """Confirm what is held: reservation to units."""
        reservations = {name: (await self.client.confirm(sale_id, name)).reservation for name in holds}
        return {
            name: Acknowledged(name, units, blocked=False, state=reservations[name].state)
            for name, units in holds.items()
        }

    async def kill(self, name: str) -> None:
        """End a process with SIGKILL; returns when the supervisor has started it again."""
        restarts = self.running.restarts(name)
        self.running.kill(name)
        await eventually(lambda: self.running.restarts(name) > restarts, SERVES_S)

    async def crash(self, *names: str) -> None:
        """End processes with SIGKILL, all before any is back, and start them again."""
        for name in names:
            await self.take_down(name)
        for name in names:
            if not self.running.process(name).is_running:  # the broker brings its clients back
                await self.bring_up(name)

    async def take_down(self, name: str) -> None:
        """End a process with SIGKILL and keep it down."""
        await asyncio.to_thread(self.running.take_down, name, "kill")

    async def stop(self, name: str) -> None:
        """Stop a process in order and keep it down; none of its children still writes to its files."""
        await asyncio.to_thread(self.running.take_down, name, "stop")

    async def bring_up(self, name: str) -> None:
        """Start what was taken down."""
        await asyncio.to_thread(self.running.bring_up, name)

    async def restart(self, name: str) -> None:
        """Stop a process in order, and start it again."""
        await self.stop(name)
        await self.bring_up(name)

    @contextmanager
    def halted(self, *names: str) -> Iterator[None]:
        """Processes are halted by SIGSTOP inside the block, as on a frozen machine, and continue after it."""
        for name in names:
            self.running.process(name).signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for name in names:
                self.running.process(name).signal(signal.SIGCONT)

    async def serves(self) -> None:
        """Return when every shard serves."""
        await asyncio.to_thread(self.running.wait_ready, SERVES_S)

    async def run(self, *arguments: str, module: str = "inventory_service") -> CommandResult:
        """Run one of a service's programs with the stack's settings: `audit`, `init`."""
        return await run_command(self.running, *arguments, module=module)

    @asynccontextmanager
    async def redis(self) -> AsyncIterator[Redis]:
        """A connection of the test's own."""
        async with Redis.from_url(self.redis_url, decode_responses=True) as redis:
            yield redis

    async def meta(self, shard: int) -> dict[str, str]:
        """The hash with a shard's state in Redis."""
        async with self.redis() as redis:
            meta: Any = await redis.hgetall(f"holdfast:{{{shard}}}:meta")
            return dict(meta)

    async def outbox_length(self, shard: int) -> int:
        """How many commits Redis still keeps for the ledger."""
        async with self.redis() as redis:
            return int(await redis.xlen(f"holdfast:{{{shard}}}:outbox"))

    async def watermark(self, shard: int) -> Watermark:
        """The ledger's row of a shard."""
        async with connected(self.running.addresses.postgres_dsn) as db:
            row = await db.fetchrow(
                "select epoch, seq, hash, coalesce(frozen_reason, '') from shard_watermark where shard = $1", shard
            )
        assert row is not None
        return Watermark(*row)

    async def is_drained(self, shard: int) -> bool:
        """The ledger holds every commit of a shard, and Redis has trimmed them."""
        meta, mark = await self.meta(shard), await self.watermark(shard)
        return (meta["hash"], await self.outbox_length(shard)) == (mark.hash, 0)


def client_without_retries(stack: Stack) -> Client:
    """A client that calls once and raises the error that it gets."""
    return Client(stack.addresses.listen, channels=1, retry=ONCE)


def shard_of(sale_id: str) -> int:
    """The shard of a sale."""
    return stacks.shard_of(sale_id, SHARDS)
