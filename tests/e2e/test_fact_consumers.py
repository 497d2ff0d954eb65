"""The consumers of clients/examples, killed in mid-stream while facts come twice: what they say in the end is right."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import Line

from tests.e2e.fact_consumer import FactConsumer
from tests.stack_fixture import FACTS, StackFixture
from tests.stacks import Running
from tests.waiting import eventually

CHANGELOG = "sell-through-units-changelog"
SALES, BUYERS, FEW = 2, 2, 5  # buyers of each sale at once, and orders of each where that many do
BASKET = {"lamp": 1, "shade": 2}
PLENTY = {"lamp": 100_000, "shade": 100_000}
READS_S = 90.0  # a new member of a group waits for the session of the one that was killed

Orders = set[tuple[str, str]]  # sale and reservation
Windows = Mapping[tuple[str, str], tuple[int, int]]  # SKU and minute: units sold, and those that came back


@pytest.fixture(scope="module")
def changelog(usual_stack: Running) -> str:
    """The topic that the table keeps its changes in, made as the README says."""
    usual_stack.stack.create_topics(CHANGELOG)
    return CHANGELOG


@pytest.mark.usefixtures("changelog")
async def test_a_count_that_is_killed_counts_each_unit_once(stack: StackFixture, tmp_path: Path) -> None:
    """Its windows are those of the facts, and their sums are the ledger's, whose audit finds nothing."""
    sales = [await stack.open_sale(PLENTY) for _ in range(SALES)]
    with FactConsumer.running("sell_through.py", stack, tmp_path) as counting:
        async with buying(stack, sales, "early") as bought:
            await eventually(lambda: len(counted(counting, sales)) == SALES, READS_S)
            counting.kill()
            counting.start()
        for sale in sales:
            await send_facts_again(stack, sale)
            bought |= await buy(stack, sale, "late", FEW)
        await give_back(stack, sales[0], "late-0", lamp=1, shade=1)
        expected = {sale: await windows_of(stack, sale) for sale in sales}

        await eventually(lambda: counted(counting, sales) == expected, READS_S)

    for sale in sales:
        assert (await stack.audited(sale)).consistent
        for sku, quantity in BASKET.items():
            windows = [units for (item, _), units in expected[sale].items() if item == sku]
            sold, came_back = (sum(column) for column in zip(*windows, strict=True))
            assert sold - came_back == (await stack.ledger.balance(sale, sku)).sold
            assert sold == quantity * len([each for each, _ in bought if each == sale])
            assert came_back == int(sale == sales[0])


async def test_a_notifier_that_is_killed_tells_each_buyer_and_holds_no_sale_up(
    stack: StackFixture, tmp_path: Path
) -> None:
    """Every call is answered meanwhile. What is told again has the same id, and facts that come twice are told once."""
    sales = [await stack.open_sale(PLENTY) for _ in range(SALES)]
    await stack.refuse_orders_of("refused")
    with FactConsumer.running("notifier.py", stack, tmp_path) as notifier:
        async with buying(stack, sales, "early") as bought:
            await eventually(lambda: {sale for sale, *_ in told(notifier, sales)} == set(sales), READS_S)
            notifier.kill()
        for sale in sales:
            bought |= await buy(stack, sale, "alone", FEW)
            await stack.reserve(sale, "refused", BASKET, buyer_id="refused")
            await send_facts_again(stack, sale)
        notifier.start()
        for sale in sales:
            bought |= await buy(stack, sale, "late", FEW)
        expected = {(*order, "confirmed") for order in bought} | {(sale, "refused", "refused") for sale in sales}

        notices = await eventually(lambda: all_told(notifier, sales, expected), READS_S)

    assert [notice for notice, ids in notices.items() if len(set(ids)) > 1] == [], "each has one id"
    assert max(map(len, notices.values())) <= 2, "once before it was killed, and once after"
    assert all(len(ids) == 1 for (_, name, _), ids in notices.items() if not name.startswith("early"))
    for sale in sales:
        assert (await stack.audited(sale)).consistent


async def buy(stack: StackFixture, sale: str, buyer: str, orders: int) -> Orders:
    """Reserve and confirm, one order after the other; fails if a call fails, or is answered with no units."""
    bought = {(sale, f"{buyer}-{number}") for number in range(orders)}
    for _, name in bought:
        await buy_one(stack, sale, name, buyer)
    return bought


async def buy_one(stack: StackFixture, sale: str, name: str, buyer: str) -> None:
    answer = await stack.reserve(sale, name, BASKET, buyer_id=buyer)
    assert answer.WhichOneof("outcome") == "reservation"
    await stack.confirm(sale, name)


@asynccontextmanager
async def buying(stack: StackFixture, sales: Sequence[str], group: str) -> AsyncIterator[Orders]:
    """Many buyers at once, for as long as the block lasts: their orders, all of them once it has ended."""
    bought: Orders = set()
    ended = asyncio.Event()

    async def buy_on(sale: str, buyer: str) -> None:
        for number in itertools.count():
            if ended.is_set():
                return
            await buy_one(stack, sale, f"{buyer}-{number}", buyer)
            bought.add((sale, f"{buyer}-{number}"))

    async with asyncio.TaskGroup() as buyers:
        for sale, buyer in itertools.product(sales, range(BUYERS)):
            buyers.create_task(buy_on(sale, f"{group}-{buyer}"))
        yield bought
        ended.set()


async def give_back(stack: StackFixture, sale: str, name: str, **units: int) -> None:
    """Return some units of a purchase."""
    lines = [Line(sku=sku, quantity=quantity) for sku, quantity in units.items()]
    request = calls.ReturnReservationRequest(sale_id=sale, reservation_id=name, reason="a test", lines=lines)
    await stack.caller.stock.ReturnReservation(request, timeout=READS_S)


async def send_facts_again(stack: StackFixture, sale: str) -> None:
    """As a persister does that did not hear that Kafka has them: all of a sale, in order."""
    await stack.settled(sale)
    facts = await stack.facts(sale)
    async with AIOKafkaProducer(bootstrap_servers=stack.running.addresses.kafka_brokers) as producer:
        for fact in facts:
            await producer.send(FACTS, fact.SerializeToString(), partition=fact.position.shard)
        await producer.flush()


def counted(consumer: FactConsumer, sales: Sequence[str]) -> Mapping[str, Windows]:
    """What the last line of each window says; nothing of a sale without a line."""
    found: defaultdict[str, dict[tuple[str, str], tuple[int, int]]] = defaultdict(dict)
    for line in consumer.lines():
        if line["sale"] in sales:
            found[line["sale"]][line["sku"], line["minute"]] = (line["sold"], line["came_back"])
    return found


async def windows_of(stack: StackFixture, sale: str) -> Windows:
    """What they should be, by the facts: each position once."""
    await stack.settled(sale)
    found: defaultdict[tuple[str, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for fact in {fact.position.SerializeToString(): fact for fact in await stack.facts(sale)}.values():
        minute = fact.time.ToDatetime().replace(second=0, microsecond=0).isoformat()
        for moved in fact.moved:
            sold, came_back = found[moved.sku, f"{minute}+00:00"]
            if moved.sold:
                change = (sold + max(moved.sold, 0), came_back - min(moved.sold, 0))
                found[moved.sku, f"{minute}+00:00"] = change
    return {window: units for window, units in found.items() if units != (0, 0)}


Notices = Mapping[tuple[str, str, str], Sequence[str]]  # sale, reservation and news: the id of each line


def told(consumer: FactConsumer, sales: Sequence[str]) -> Notices:
    """What buyers of these sales were told."""
    found: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
    for line in consumer.lines():
        if line["sale"] in sales:
            found[line["sale"], line["reservation"], line["news"]].append(line["id"])
    return found


def all_told(consumer: FactConsumer, sales: Sequence[str], expected: set[tuple[str, str, str]]) -> Notices:
    """All that is expected, and nothing else."""
    found = told(consumer, sales)
    assert found.keys() == expected, f"{len(expected - found.keys())} are missing, {found.keys() - expected}"
    return found
