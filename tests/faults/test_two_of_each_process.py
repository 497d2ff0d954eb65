"""Two of every process under load: one is killed, halted or restarted, and each commit is applied once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest
from holdfast.client import Client
from holdfast.errors import HoldfastError
from holdfast.messages import ReserveRequest, WatchSaleResponse, held, reserve_request
from holdfast_embedded.ports import free_port
from holdfast_embedded.program import ProgramSpecs
from holdfast_embedded.readiness import is_answering
from holdfast_embedded.stack import Stack

from tests.crowd import CRASH_RETRY, SKU, Crowd
from tests.fault_stack import BRIEF, SERVES_S, SHARDS, FaultStack, shard_of
from tests.faults.applied_once import not_applied_once
from tests.promise_checks import audit_violations, find_violations_of_sale
from tests.servers import connected
from tests.stacks import running_stack
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(400)  # the waits' own deadlines come first, and say more
PLENTY = 100_000
BUYERS, BLOCKED = 4, 1  # of each sale
FIRST = ("serve", "relay", "persist", "compensate")
SECOND = tuple(f"{name}-2" for name in FIRST)
ALL_PROCESSES = tuple(name for pair in zip(FIRST, SECOND, strict=True) for name in pair)
PROGRESS_S = 90.0


class DoubledStack(FaultStack):
    """A stack with two of each process, a sale in each shard, and buyers for each sale."""

    crowds: list[Crowd]

    @asynccontextmanager
    async def buying(self) -> AsyncIterator[None]:
        """Buyers reserve in every sale inside the block, and stop at its end."""
        opened = [await self.open_sale(PLENTY, BRIEF) for _ in range(4 * SHARDS)]
        sales = {shard_of(sale_id): sale_id for sale_id in opened}
        assert len(sales) == SHARDS, "the names of the sales leave a shard without any"
        self.crowds = [Crowd(self.client, self.dsn, sale, buyers=BUYERS, blocked=BLOCKED) for sale in sales.values()]
        async with AsyncExitStack() as crowds:
            for crowd in self.crowds:
                await crowds.enter_async_context(crowd.buying())
            await self.makes_progress()
            yield
            for crowd in self.crowds:
                crowd.stop_buying()

    async def makes_progress(self) -> None:
        """Return when each sale has more claims, and the ledger has applied all of each shard's commits so far."""
        targets = {crowd: len(crowd.acknowledged) + 5 for crowd in self.crowds}
        heads = [await self.meta(shard) for shard in range(SHARDS)]

        async def has_progressed() -> bool:
            """Orders are acknowledged, and reach the ledger, in every shard."""
            for shard, head in enumerate(heads):
                mark, made = await self.watermark(shard), (int(head["epoch"]), int(head["seq"]))
                assert (mark.epoch, mark.seq) > made, f"the ledger of shard {shard} is at {mark}, below {made}"
            for crowd, acknowledged in targets.items():
                assert crowd.has_acknowledged(acknowledged), (
                    f"{crowd.sale_id}: {len(crowd.acknowledged)} claims, {acknowledged} wanted"
                )
            return True

        await eventually(has_progressed, PROGRESS_S)

    async def violations(self) -> list[str]:
        """Every broken promise of every sale; none if each commit was applied once."""
        found = [
            violation
            for crowd in self.crowds
            for violation in await find_violations_of_sale(self, crowd.sale_id, crowd.acknowledged)
        ]
        async with connected(self.running.addresses.postgres_dsn) as db:
            found += await not_applied_once(db)
        return [*found, *await audit_violations(self)]


@pytest.fixture(scope="module")
def second_server() -> str:
    """Where the second server listens."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def doubled(second_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two of each process; the servers that take calls stop first, as in a stack of one each."""
    once = ProgramSpecs().services
    pairs = [(spec, spec.copy(2, HOLDFAST_LISTEN=second_server)) for spec in once]
    specs = replace(ProgramSpecs(), services=tuple(spec for pair in pairs for spec in pair))
    with running_stack(tmp_path_factory.mktemp("stack"), print, specs, HOLDFAST_SHARDS=str(SHARDS)) as stack:
        yield stack


@pytest.fixture
async def stack(doubled: Stack, second_server: str) -> AsyncIterator[DoubledStack]:
    """The doubled stack, and a client of both servers."""
    await eventually(lambda: is_answering(second_server), SERVES_S)
    async with Client(f"{doubled.addresses.listen},{second_server}", channels=8, retry=CRASH_RETRY) as client:
        yield DoubledStack(doubled, client)


async def test_one_of_each_two_is_killed_and_then_the_other(stack: DoubledStack) -> None:
    """Promises 1, 2 and 3: the other process takes over calls, shards and partitions."""
    async with stack.buying():
        for half in (FIRST, SECOND):
            await asyncio.gather(*(stack.kill(name) for name in half))
            await stack.makes_progress()

    assert await stack.violations() == []


async def test_one_of_each_two_is_halted_and_continues(stack: DoubledStack) -> None:
    """Promises 1, 2 and 3: the other processes have their leases, partitions and calls by the time they continue.

    Each is stopped for as long as it takes the others to do all of the work.
    """
    async with stack.buying():
        with stack.halted(*FIRST):
            await stack.makes_progress()
        await stack.makes_progress()

    assert await stack.violations() == []


async def test_each_of_two_is_restarted_in_turn(stack: DoubledStack) -> None:
    """Promises 2 and 5: a new release is rolled out in mid-sale."""
    async with stack.buying():
        for name in ALL_PROCESSES:
            await stack.restart(name)
        await stack.makes_progress()

    assert await stack.violations() == []


async def test_streams_and_watches_go_on_while_servers_are_restarted_and_killed(stack: DoubledStack) -> None:
    """Every request has one answer, and that is a hold; and a watch shows all of them in the end."""
    sale_id = await stack.open_sale(PLENTY)
    asked: list[str] = []
    answered: list[str] = []
    ends = asyncio.Event()

    async def requests() -> AsyncIterator[ReserveRequest]:
        while not ends.is_set():
            asked.append(f"r-{len(asked)}")
            yield reserve_request(sale_id, asked[-1], f"buyer-{asked[-1]}", {SKU: 1})
            await asyncio.sleep(0.002)

    async def reserve() -> None:
        async for request, answer in stack.client.stream_reserve(requests()):
            assert not isinstance(answer, HoldfastError), answer
            assert held(answer)
            answered.append(request.reservation_id)

    async def goes_on() -> None:
        wanted = len(answered) + 300  # more than are under way at a time
        await eventually(lambda: len(answered) > wanted or reserving.done(), PROGRESS_S)

    reserving = asyncio.create_task(reserve())
    async with stack.client.watch_sale(sale_id) as watch:
        watching = asyncio.create_task(until_all_are_held(watch, asked, ends))
        for fault in (stack.restart, stack.kill):
            for server in ("serve", "serve-2"):
                await goes_on()
                await fault(server)
        await goes_on()
        ends.set()
        async with asyncio.timeout(PROGRESS_S):
            await reserving
            await watching

    assert sorted(answered) == sorted(asked)


async def until_all_are_held(watch: AsyncIterator[WatchSaleResponse], asked: list[str], ends: asyncio.Event) -> None:
    """Read a watch until it shows as many holds as were asked for, once no more are asked for."""
    async for change in watch:
        if ends.is_set() and [item.held for item in change.sale.items] == [len(asked)]:
            return
