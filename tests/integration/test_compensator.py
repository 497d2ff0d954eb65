"""The compensator between Kafka and Redis: every order is carried out once, and none that cannot be stops the next."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest
import structlog
from aiokafka import AIOKafkaProducer
from holdfast.inventory.v1.events_pb2 import Compensation
from holdfast.inventory.v1.reservation_pb2 import COMPENSATION_REASON_BUYER_BLOCKED, ReservationState
from holdfast.inventory.v1.reservation_pb2 import Position as PositionMessage

from inventory_service.adapters.kafka.compensations import KafkaCompensations
from inventory_service.adapters.kafka.names import COMPENSATIONS
from inventory_service.adapters.redis.stock import RedisStock
from inventory_service.domain.requests import Confirm, CreateSale, Line, Position, Release, Reserve, SaleKey, shard_of
from inventory_service.domain.verdicts import Found, Granted, Item, SaleFound
from inventory_service.service import compensator
from tests.integration.house import SHARDS, House, running
from tests.sales import make_sale
from tests.shared_kafka import Kafka
from tests.waiting import eventually

SALE = SaleKey("default", "lamp-sale")
SHARD = shard_of(SALE, SHARDS)


class Counted:
    """Counts what became of orders."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()

    def count(self, outcome: str) -> None:
        self.outcomes[outcome] += 1


class Desk:
    """A stock with one open sale, a compensator at work, and a way to order."""

    def __init__(self, house: House, stock: RedisStock, producer: AIOKafkaProducer, counted: Counted) -> None:
        self.house = house
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
        await self.producer.send_and_wait(self.house.kafka.named(COMPENSATIONS), value, key=b"any", partition=SHARD)

    async def state(self, reservation_id: str) -> str:
        found = await self.stock.find_reservation(SALE, reservation_id)
        assert isinstance(found, Found)
        return ReservationState.Name(ReservationState.ValueType(found.reservation.state))

    async def item(self) -> Item:
        found = await self.stock.find_sale(SALE)
        assert isinstance(found, SaleFound)
        return found.sale.items[0]


@pytest.fixture
async def desk(valkey: str, database: str, kafka: Kafka) -> AsyncIterator[Desk]:
    house = House(valkey, database, kafka)
    await house.open()
    stock = RedisStock(house.scripts, SHARDS, outbox_limit=1000)
    await make_sale(stock, CreateSale(SALE, "Lamps", None, None, 60_000, 60_000, 0, (Line("lamp", 10),)))
    producer = AIOKafkaProducer(bootstrap_servers=kafka.address)
    await producer.start()
    counted = Counted()
    heard = KafkaCompensations(kafka.access, session_timeout_s=2)
    parts = compensator.Parts(heard, stock, counted, structlog.get_logger(), SHARDS, house.waited.append)
    async with running(lambda: compensator.run(parts)):
        yield Desk(house, stock, producer, counted)
    await producer.stop()
    await house.close()


async def test_a_refused_order_gives_its_units_back_once(desk: Desk) -> None:
    """The ledger repeats its order until it has seen it done; the second finds nothing to give."""
    created = await desk.hold("r-1")

    for _ in range(3):
        await desk.order("r-1", created)
    await eventually(lambda: desk.outcomes.total() >= 3)  # Kafka may say one twice, as to a group it has lost sight of

    assert desk.outcomes == {"given_back": 1, "nothing_to_give": desk.outcomes.total() - 1}
    assert await desk.state("r-1") == "RESERVATION_STATE_COMPENSATED"
    assert await desk.item() == Item("lamp", 10, 10, 0, 0)


async def test_a_confirmed_order_is_compensated_too(desk: Desk) -> None:
    """It was confirmed while the ledger was refusing it."""
    created = await desk.hold("r-1")
    await desk.stock.confirm(Confirm(SALE, "r-1"))

    await desk.order("r-1", created)
    await eventually(lambda: desk.outcomes["given_back"] == 1)

    assert await desk.item() == Item("lamp", 10, 10, 0, 0)


async def test_an_order_that_was_released_gives_nothing_more(desk: Desk) -> None:
    """Its units went back with the release; the ledger closes the refusal by that."""
    created = await desk.hold("r-1")
    await desk.stock.release(Release(SALE, "r-1", "changed my mind", spend_id=False))

    await desk.order("r-1", created)
    await eventually(lambda: desk.outcomes["nothing_to_give"])

    assert await desk.state("r-1") == "RESERVATION_STATE_RELEASED"


async def test_another_reservation_of_the_same_id_is_not_struck(desk: Desk) -> None:
    """Orders are matched by where the reservation was made, for ids come again."""
    created = await desk.hold("r-1")

    await desk.order("r-1", created._replace(seq=created.seq + 7))
    await eventually(lambda: desk.outcomes["nothing_to_give"])

    assert await desk.state("r-1") == "RESERVATION_STATE_HELD"


async def test_an_order_for_a_shard_that_does_not_serve_is_dropped(desk: Desk) -> None:
    """The ledger sends it again; keeping it would hold up the orders of every other shard."""
    created = await desk.hold("r-1")
    await desk.house.shards.freeze(SHARD, 1, "UNREADABLE: a test")

    await desk.order("r-1", created)

    await eventually(lambda: desk.outcomes["dropped"])


@pytest.mark.parametrize("shard", [1 - SHARD, SHARDS, 2**31 - 1, -1])
async def test_an_order_for_another_shard_does_not_stop_the_next(desk: Desk, shard: int) -> None:
    """A ledger of another number of shards wrote it; it would come first again after every restart."""
    created = await desk.hold("r-1")

    await desk.order("r-1", created._replace(shard=shard))
    await desk.order("r-1", created)

    await eventually(lambda: desk.outcomes["misdirected"] and desk.outcomes["given_back"])


NAMELESS = Compensation(compensation_id="c-1", created=PositionMessage(shard=SHARD, epoch=1)).SerializeToString()
UNMADE = Compensation(tenant="default", sale_id="lamp-sale", reservation_id="r-1").SerializeToString()


@pytest.mark.parametrize("value", [b"\xff\xff", None, b"", NAMELESS, UNMADE])
async def test_an_order_that_cannot_be_read_does_not_stop_the_next(desk: Desk, value: bytes | None) -> None:
    """It would come first again after every restart."""
    created = await desk.hold("r-1")

    await desk.send(value)
    await desk.order("r-1", created)

    await eventually(lambda: desk.outcomes["unreadable"] and desk.outcomes["given_back"])
