"""The compensator between Kafka and Redis: each compensation is applied once, and an invalid one stops no other."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest
import structlog
from aiokafka import AIOKafkaProducer
from holdfast.inventory.v1.events_pb2 import Compensation
from holdfast.inventory.v1.reservation_pb2 import COMPENSATION_REASON_BUYER_BLOCKED, ReservationState
from holdfast.inventory.v1.reservation_pb2 import Position as PositionMessage

from holdfast_runtime.kafka import COMPENSATIONS
from inventory_service.adapters.kafka.compensations import KafkaCompensations
from inventory_service.adapters.redis.stock import RedisStock
from inventory_service.domain.keys import Position, SaleKey, shard_of
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Granted, ReservationRead
from inventory_service.domain.sale import CreateSale, Item, NewItem, SaleRead
from inventory_service.service import compensator
from tests.integration.running import running
from tests.integration.shard_processes import SHARDS, ShardProcesses
from tests.sales import make_sale
from tests.shared_kafka import Kafka
from tests.waiting import eventually

SALE = SaleKey("default", "lamp-sale")
SHARD = shard_of(SALE, SHARDS)


class CountedOutcomes:
    """Counts outcomes of compensations."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()

    def count(self, outcome: str) -> None:
        self.outcomes[outcome] += 1


class CompensatorFixture:
    """A stock with one open sale, a running compensator, and a producer of compensations."""

    def __init__(
        self, processes: ShardProcesses, stock: RedisStock, producer: AIOKafkaProducer, counted: CountedOutcomes
    ) -> None:
        self.processes = processes
        self.stock = stock
        self.producer = producer
        self.outcomes = counted.outcomes

    async def hold(self, reservation_id: str) -> Position:
        granted = await self.stock.reserve(Reserve(SALE, reservation_id, "ann", (Line("lamp", 2),), None))
        assert isinstance(granted, Granted)
        return granted.reservation.created

    async def order(self, reservation_id: str, created: Position) -> None:
        order = Compensation(
            compensation_id="c-1",
            tenant=SALE.tenant,
            sale_id=SALE.sale_id,
            reservation_id=reservation_id,
            created=PositionMessage(shard=created.shard, epoch=created.epoch, seq=created.seq, index=created.index),
            reason=COMPENSATION_REASON_BUYER_BLOCKED,
            detail="the buyer is blocked",
        )
        await self.send(order.SerializeToString())

    async def send(self, value: bytes | None) -> None:
        await self.producer.send_and_wait(self.processes.kafka.named(COMPENSATIONS), value, key=b"any", partition=SHARD)

    async def state(self, reservation_id: str) -> str:
        found = await self.stock.find_reservation(SALE, reservation_id)
        assert isinstance(found, ReservationRead)
        return ReservationState.Name(ReservationState.ValueType(found.reservation.state))

    async def item(self) -> Item:
        found = await self.stock.find_sale(SALE)
        assert isinstance(found, SaleRead)
        return found.sale.items[0]


@pytest.fixture
async def fixture(valkey: str, database: str, kafka: Kafka) -> AsyncIterator[CompensatorFixture]:
    processes = ShardProcesses(valkey, database, kafka)
    await processes.open()
    stock = RedisStock(processes.scripts, SHARDS, outbox_limit=1000)
    await make_sale(stock, CreateSale(SALE, "Lamps", None, None, 60_000, 60_000, 0, (NewItem("lamp", 10),)))
    producer = AIOKafkaProducer(bootstrap_servers=kafka.address)
    await producer.start()
    counted = CountedOutcomes()
    consumer = KafkaCompensations(kafka.config, session_timeout_s=2)
    dependencies = compensator.Dependencies(consumer, stock, counted, structlog.get_logger(), SHARDS, processes.retrier)
    async with running(lambda: compensator.run(dependencies)):
        yield CompensatorFixture(processes, stock, producer, counted)
    await producer.stop()
    await processes.close()


async def test_a_refused_order_gives_its_units_back_once(fixture: CompensatorFixture) -> None:
    """The ledger repeats a compensation until its order has ended; the second one finds nothing to give back."""
    created = await fixture.hold("r-1")

    await fixture.order("r-1", created)
    await eventually(lambda: fixture.outcomes["given_back"])
    await fixture.order("r-1", created)
    await eventually(lambda: fixture.outcomes["nothing_to_give"])

    assert fixture.outcomes["given_back"] == 1
    assert await fixture.state("r-1") == "RESERVATION_STATE_COMPENSATED"
    assert await fixture.item() == Item("lamp", 10, 10, 0, 0)


async def test_a_confirmed_order_is_compensated_too(fixture: CompensatorFixture) -> None:
    """It was confirmed while the ledger was refusing it."""
    created = await fixture.hold("r-1")
    await fixture.stock.move(Move(SALE, "r-1", MoveKind.CONFIRM))

    await fixture.order("r-1", created)
    await eventually(lambda: fixture.outcomes["given_back"] == 1)

    assert await fixture.item() == Item("lamp", 10, 10, 0, 0)


async def test_an_order_that_was_released_gives_nothing_more(fixture: CompensatorFixture) -> None:
    """Its units went back with the release, which also settles the refused order in the ledger."""
    created = await fixture.hold("r-1")
    await fixture.stock.move(Move(SALE, "r-1", MoveKind.RELEASE, "changed my mind"))

    await fixture.order("r-1", created)
    await eventually(lambda: fixture.outcomes["nothing_to_give"])

    assert await fixture.state("r-1") == "RESERVATION_STATE_RELEASED"


async def test_another_reservation_of_the_same_id_is_not_compensated(fixture: CompensatorFixture) -> None:
    """Compensations are matched by the position of the reservation, because ids can be reused."""
    created = await fixture.hold("r-1")

    await fixture.order("r-1", created._replace(seq=created.seq + 7))
    await eventually(lambda: fixture.outcomes["nothing_to_give"])

    assert await fixture.state("r-1") == "RESERVATION_STATE_HELD"


async def test_an_order_for_a_shard_that_does_not_serve_is_dropped(fixture: CompensatorFixture) -> None:
    """The ledger sends it again; waiting would delay the compensations of every other shard."""
    created = await fixture.hold("r-1")
    epoch = (await fixture.processes.status(SHARD)).epoch
    await fixture.processes.shards.freeze(SHARD, epoch, "UNREADABLE: a test")

    await fixture.order("r-1", created)

    await eventually(lambda: fixture.outcomes["dropped"])


@pytest.mark.parametrize("shard", [1 - SHARD, SHARDS, 2**31 - 1, -1])
async def test_an_order_for_another_shard_does_not_stop_the_next(fixture: CompensatorFixture, shard: int) -> None:
    """A ledger with another number of shards sent it; it would block the partition after every restart."""
    created = await fixture.hold("r-1")

    await fixture.order("r-1", created._replace(shard=shard))
    await fixture.order("r-1", created)

    await eventually(lambda: fixture.outcomes["misdirected"] and fixture.outcomes["given_back"])


WITHOUT_ID = Compensation(compensation_id="c-1", created=PositionMessage(shard=SHARD, epoch=1)).SerializeToString()
WITHOUT_POSITION = Compensation(tenant="default", sale_id="lamp-sale", reservation_id="r-1").SerializeToString()


@pytest.mark.parametrize("value", [b"\xff\xff", None, b"", WITHOUT_ID, WITHOUT_POSITION])
async def test_an_order_that_cannot_be_read_does_not_stop_the_next(
    fixture: CompensatorFixture, value: bytes | None
) -> None:
    """It would block the partition after every restart."""
    created = await fixture.hold("r-1")

    await fixture.send(value)
    await fixture.order("r-1", created)

    await eventually(lambda: fixture.outcomes["unreadable"] and fixture.outcomes["given_back"])
