"""One recovery from end to end: load, copies, more load, the fault, the way back, load again, and the checker."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from holdfast.client import Client
from holdfast.retry import RetryPolicy
from holdfast_embedded.stack import Stack

from tests import stacks
from tests.fault_stack import FaultStack
from tests.faults.independent_checker import SILENTLY, Told, find_violations
from tests.faults.recovery.killed_loads import restore_through_kills
from tests.faults.recovery.load import MAX_HOLD_TTL, Answer, Load
from tests.faults.recovery.reopening import NAMES_COMMAND_S, Log, Opening, reopen
from tests.faults.recovery.stored import InLedger, InRedis, read_heads, read_ledger, read_redis
from tests.faults.recovery.stores import (
    REPLACED,
    Copies,
    Fate,
    Fates,
    Held,
    held_now,
    migrate,
    strike,
    strike_site,
    take_copies,
)
from tests.ledger_rows import refuse_orders_of
from tests.servers import connected
from tests.waiting import eventually

SHARDS = 2
SKUS, UNITS = ("lamp", "rug"), 4000  # never sold out by the load, however long a slow machine takes
HOLD_TTLS = (timedelta(seconds=2), timedelta(minutes=5))  # of the first and the second shard's sale
BLOCKED = "blocked"
BUYERS = (BLOCKED, "ann", "bob", "cid", "dora", "eve")
STEP = 12  # answers about each shard in each phase
STEP_S = SETTLES_S = 90.0
ANNOUNCES_S = 40.0
# A call is repeated through the whole recovery.
PATIENT = RetryPolicy(overall_s=180.0, attempt_s=2.0, longest_delay_s=0.5, repeats_per_s=1000)
LOSES = (Opening.ACCEPT_LOSS, Opening.INIT)
_sale_numbers = itertools.count(1)


class LentStack(FaultStack):
    """A stack, and the log of its processes."""

    def __init__(self, stack: Stack, client: Client, log: Log) -> None:
        super().__init__(stack, client)
        self.log = log


class StackLender:
    """Lends one stack to test after test, and starts another when a test has failed on it."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._log = Log()
        self._stack: Stack | None = None
        self._running = ExitStack()

    @asynccontextmanager
    async def lent(self, fresh: bool = False) -> AsyncIterator[LentStack]:
        """A stack that serves, and a client of it; a fresh one has all of its commits in Kafka."""
        stack = self._stack if self._stack is not None and not fresh else await asyncio.to_thread(self._start)
        self._stack = None  # until the test has passed
        async with Client(stack.addresses.listen, channels=4, retry=PATIENT) as client:
            yield LentStack(stack, client, self._log)
        self._stack = stack

    def stop(self) -> None:
        """Stop the stack that runs."""
        self._running.close()

    def _start(self) -> Stack:
        self.stop()
        folder = self._folders.mktemp("stack")
        return self._running.enter_context(
            stacks.running_stack(folder, self._log.write_line, HOLDFAST_SHARDS=str(SHARDS))
        )


class Before(NamedTuple):
    """What was known when the fault came."""

    answers_when_copied: int  # answers that had come when Redis was copied
    copies: Copies
    held: Held


async def run_scenario(
    stack: LentStack, fates: Fates, opening: Opening, folder: Path, site: bool = False, kills: bool = False
) -> list[str]:
    """Every broken promise in a sentence.

    With `site` every process of Holdfast starts anew too; with `kills` two loads are killed before the one that ends.
    """
    load = await open_sales(stack)
    async with load.running():
        before = await sell_and_copy(stack, load, folder)
        line = len(stack.log.lines)
        await (strike_site if site else strike)(stack, fates, before.copies)
        at_the_fault = len(load.answers)
        if fates.postgres is Fate.BLANK:
            await migrate(stack)
        if kills:
            await eventually(lambda: stack.log.names(opening, line), NAMES_COMMAND_S)
            restore = await restore_through_kills(stack, stack.log, load.sales)
        else:
            opening = await reopen(stack, stack.log, line, opening, load.sales, may_show_more(fates))
        reopened = len(load.answers)
        if opening not in LOSES:
            await more_answers(load)
    if kills:
        result = await stacks.ended(restore)
        assert result.code == 0, f"`holdfast restore` ended with {result.code}: {result}"
    told = Told(
        load.answers[:reopened],
        set() if site else before.held.in_ledger,  # what no store and no process knows cannot be told
        surviving(load.answers[:reopened], at_the_fault, fates, before),
        may_lose=opening in LOSES,
        blocked=BLOCKED,
    )
    return await violations_after_selling_out(stack, load, told)


def may_show_more(fates: Fates) -> bool:
    """Whether Redis and Kafka are replaced, so that neither has what the ledger had not applied yet."""
    return fates.redis in REPLACED and fates.kafka in REPLACED and set(fates) != {Fate.BLANK}


async def open_sales(stack: LentStack) -> Load:
    """Make a sale in each shard, and block a buyer, whose orders the ledger refuses from now on."""
    names = [next(n for n in _names() if stacks.shard_of(n, SHARDS) == shard) for shard in range(SHARDS)]
    for name, hold_ttl in zip(names, HOLD_TTLS, strict=True):
        await stack.client.create_sale(name, dict.fromkeys(SKUS, UNITS), hold_ttl=hold_ttl, max_hold_ttl=MAX_HOLD_TTL)
    await refuse_orders_of(stack.running.addresses.postgres_dsn, BLOCKED)
    return Load(stack.client, dict.fromkeys(names, SKUS), BUYERS, seed=names[0])


def _names() -> "itertools.chain[str]":
    return itertools.chain(f"sale-{number}" for number in _sale_numbers)


async def sell_and_copy(stack: LentStack, load: Load, folder: Path) -> Before:
    """Load, copies of all stores under it, and load until every shard has left the copies behind."""
    await more_answers(load)
    opened = await read_heads(stack.redis_url, SHARDS)
    await eventually(lambda: has_trimmed(stack, {shard: (at.epoch, at.seq) for shard, at in opened.items()}), STEP_S)
    answers_when_copied = len(load.answers)
    copies = await take_copies(stack, folder)
    copied = copies.held.in_ledger | copies.held.in_kafka
    newest = {shard: max((epoch, seq) for of, epoch, seq in copied if of == shard) for shard in range(SHARDS)}
    await eventually(lambda: has_trimmed(stack, newest), STEP_S)
    await more_answers(load)
    return Before(answers_when_copied, copies, await held_now(stack))


async def more_answers(load: Load) -> None:
    """Return when some more answers have come about each shard."""
    wanted = {shard: load.count(shard) + STEP for shard in range(SHARDS)}
    await eventually(lambda: all(load.count(shard) >= count for shard, count in wanted.items()), STEP_S)


async def has_trimmed(stack: LentStack, newest: Mapping[int, tuple[int, int]]) -> bool:
    """Redis has trimmed commits of each shard that come after this one (epoch and seq): the ledger has them."""
    for shard, position in newest.items():
        meta = await stack.meta(shard)
        trimmed = (int(meta["epoch"]), int(meta.get("trim_seq", 0)))
        assert trimmed > position, f"shard {shard} is trimmed to {trimmed}, and should be beyond {position}"
    return True


def surviving(answers: list[Answer], at_the_fault: int, fates: Fates, before: Before) -> set[tuple[int, int, int]]:
    """The commits, of those that answers name, that a store has after the fault; all that came later are among them."""
    found = {answer.commit for answer in answers[at_the_fault:]}
    found |= _kept(fates.postgres, before.held.in_ledger, before.copies.held.in_ledger)
    found |= _kept(fates.kafka, before.held.in_kafka, before.copies.held.in_kafka)
    in_copy = {answer.commit for answer in answers[: before.answers_when_copied]}
    return found | _kept(fates.redis, {answer.commit for answer in answers}, in_copy)


def _kept(
    fate: Fate, all_of_it: set[tuple[int, int, int]], in_copy: set[tuple[int, int, int]]
) -> set[tuple[int, int, int]]:
    if fate is Fate.BLANK:
        return set()
    return in_copy if fate is Fate.SET_BACK else all_of_it


async def violations_after_selling_out(stack: LentStack, load: Load, told: Told) -> list[str]:
    """Sell every unit that is left, so that one that is offered twice is sold twice, and check all that is stored."""
    for sale_id in load.sales:
        await load.buy_the_rest(sale_id)
    found = await violations_when_settled(stack, load, told)
    deadline = time.monotonic() + ANNOUNCES_S
    while any(line.startswith(SILENTLY) for line in found) and time.monotonic() < deadline:
        await asyncio.sleep(ANNOUNCES_S / 20)  # a server asks the stores about a new epoch from time to time
        found = await violations_when_settled(stack, load, told)
    return found


async def violations_when_settled(stack: LentStack, load: Load, told: Told) -> list[str]:
    """Check all that is stored once both stores stand at the same commit."""
    redis, ledger = await eventually(lambda: read_when_settled(stack), SETTLES_S)
    after = load.answers[len(told.answers) :]
    return find_violations(redis, ledger, told, after, stack.log.announced())


async def read_when_settled(stack: LentStack) -> tuple[InRedis, InLedger]:
    """Both stores as of one commit of each shard; AssertionError while they differ or an order is being refused."""
    redis_url = stack.redis_url
    redis = await read_redis(redis_url, SHARDS)
    async with connected(stack.running.addresses.postgres_dsn) as db:
        ledger = await read_ledger(db)
    assert not redis.not_serving, redis.not_serving
    assert not ledger.frozen, ledger.frozen
    assert redis.heads == ledger.heads, f"Redis is at {redis.heads}, the ledger is at {ledger.heads}"
    assert not any(redis.waiting.values()), f"commits wait in the outbox: {redis.waiting}"
    assert not ledger.open_letters, f"{ledger.open_letters} refused orders wait for compensation"
    assert redis.heads == await read_heads(redis_url, SHARDS), "a shard has moved on"
    return redis, ledger
