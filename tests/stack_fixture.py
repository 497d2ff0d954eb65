"""A running stack for end-to-end tests: its gRPC API, and what Redis, the ledger and Kafka then hold."""

import asyncio
import itertools
import re
import signal
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, NamedTuple

import grpc
import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.events_pb2 import Compensation, ReservationFact
from holdfast.inventory.v1.reservation_pb2 import Line, Reservation
from holdfast.inventory.v1.sale_pb2 import Item, Sale
from holdfast_embedded.stack import Stack
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from tests.inventory_server import Caller
from tests.ledger_rows import LedgerReader, Watermark, refuse_orders_of
from tests.stacks import CommandResult, run_command, shard_of
from tests.waiting import eventually

FACTS, COMPENSATIONS = "holdfast.orders.v1", "holdfast.compensations.v1"
ONE_LAMP, TEN_LAMPS = {"lamp": 1}, {"lamp": 10}
SETTLES_S, SERVES_S, AUDITS_S, PAGE_S = 60.0, 60.0, 120.0, 30.0
_sale_numbers = itertools.count(1)


class Stock(NamedTuple):
    """An item as GetSale returns it."""

    available: int
    held: int
    sold: int


class StackFixture:
    """Calls a stack through the generated stubs, reads its servers, and stops or halts its processes."""

    def __init__(self, stack: Stack, caller: Caller, log: list[tuple[str, str]]) -> None:
        self.running = stack
        self.caller = caller
        self.ledger = LedgerReader(stack.addresses.postgres_dsn)
        self._log = log

    # The API's calls

    async def open_sale(self, units: int | Mapping[str, int] = 10, shard: int | None = None, **settings: Any) -> str:
        """Make a sale of its own name, of lamps by default, in a given shard if there is one."""
        items = {"lamp": units} if isinstance(units, int) else units
        names = (f"sale-{number}" for number in _sale_numbers)
        sale_id = next(name for name in names if shard in (None, self.shard_of(name)))
        await self.open_sale_named(sale_id, items, **settings)
        return sale_id

    async def open_sale_named(self, sale_id: str, items: Mapping[str, int] = TEN_LAMPS, **settings: Any) -> None:
        """Make a sale whose name the test chooses."""
        stock = [Item(sku=sku, total=total) for sku, total in items.items()]
        sale = Sale(sale_id=sale_id, items=stock, **settings)
        await self.caller.admin.CreateSale(admin.CreateSaleRequest(sale=sale), timeout=SERVES_S)

    async def reserve(
        self,
        sale_id: str,
        reservation_id: str,
        lines: Mapping[str, int] = ONE_LAMP,
        buyer_id: str = "ann",
        hold_ttl: timedelta | None = None,
        reference: str = "",
    ) -> calls.ReserveResponse:
        """Ask for units."""
        request = calls.ReserveRequest(
            sale_id=sale_id,
            reservation_id=reservation_id,
            buyer_id=buyer_id,
            lines=[Line(sku=sku, quantity=quantity) for sku, quantity in lines.items()],
            hold_ttl=hold_ttl,
            reference=reference,
        )
        return await self.caller.stock.Reserve(request, timeout=SERVES_S)

    async def confirm(self, sale_id: str, reservation_id: str) -> calls.ConfirmReservationResponse:
        """Buy what is held."""
        request = calls.ConfirmReservationRequest(sale_id=sale_id, reservation_id=reservation_id)
        return await self.caller.stock.ConfirmReservation(request, timeout=SERVES_S)

    async def release(
        self, sale_id: str, reservation_id: str, spend_id: bool = False
    ) -> calls.ReleaseReservationResponse:
        """Give back what is held, or spend the id."""
        request = calls.ReleaseReservationRequest(sale_id=sale_id, reservation_id=reservation_id, spend_id=spend_id)
        return await self.caller.stock.ReleaseReservation(request, timeout=SERVES_S)

    async def get(self, sale_id: str, reservation_id: str) -> Reservation:
        """Read a reservation."""
        request = calls.GetReservationRequest(sale_id=sale_id, reservation_id=reservation_id)
        return (await self.caller.stock.GetReservation(request, timeout=SERVES_S)).reservation

    async def stock(self, sale_id: str, sku: str = "lamp") -> Stock:
        """Read an item."""
        [item] = (item for item in (await self.sale(sale_id)).items if item.sku == sku)
        return Stock(item.available, item.held, item.sold)

    async def sale(self, sale_id: str) -> Sale:
        """Read a sale."""
        request = calls.GetSaleRequest(sale_id=sale_id)
        return (await self.caller.stock.GetSale(request, timeout=SERVES_S)).sale

    async def audited(self, sale_id: str) -> admin.AuditSaleResponse:
        """The audit of a sale, asked for again where the ledger was too slow."""

        async def asked() -> admin.AuditSaleResponse | None:
            """The sale is audited."""
            try:
                return await self.caller.admin.AuditSale(admin.AuditSaleRequest(sale_id=sale_id), timeout=SERVES_S)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                return None

        return await eventually(asked, AUDITS_S)

    async def block(self, buyer_id: str) -> None:
        """Block a buyer."""
        request = admin.BlockBuyerRequest(buyer_id=buyer_id, reason="a test")
        await self.caller.admin.BlockBuyer(request, timeout=SERVES_S)

    async def refuse_orders_of(self, buyer_id: str) -> None:
        """Let the ledger refuse a buyer's orders, which the shards grant, because they do not know of the block.

        They know the version of the list by then, so they do not read it any more.
        """
        await eventually(self._blocked_buyers_are_copied)
        await refuse_orders_of(self.running.addresses.postgres_dsn, buyer_id)

    async def _blocked_buyers_are_copied(self) -> bool:
        """Every shard has a copy of the list of blocked buyers."""
        async with self.redis() as redis:
            keys = (f"holdfast:{{{shard}}}:meta" for shard in range(self.running.shards))
            return all([await redis.hexists(key, "blocked_version") for key in keys])

    # What the servers hold

    def shard_of(self, sale_id: str) -> int:
        """The shard of a sale."""
        return shard_of(sale_id, self.running.shards)

    @asynccontextmanager
    async def redis(self) -> AsyncIterator[Redis]:
        """A connection of the test's own."""
        async with Redis.from_url(self.running.addresses.redis_url, decode_responses=True) as redis:
            yield redis

    async def in_redis(self, sale_id: str, reservation_id: str) -> bool:
        """Redis still has a record of this id."""
        async with self.redis() as redis:
            key = f"holdfast:{{{self.shard_of(sale_id)}}}:reservations:default/{sale_id}"
            return bool(await redis.hexists(key, reservation_id))

    async def open_holds(self, shard: int, but_of: str) -> int:
        """How many holds a shard has in Redis, without those of one sale."""
        async with self.redis() as redis:
            kept = [key async for key in redis.scan_iter(f"holdfast:{{{shard}}}:expiry:*")]
            return sum([await redis.zcard(key) for key in kept if not key.endswith(f"/{but_of}")])

    async def outbox_length(self, shard: int) -> int:
        """How many commits Redis still keeps for the ledger."""
        async with self.redis() as redis:
            return int(await redis.xlen(f"holdfast:{{{shard}}}:outbox"))

    async def settled(self, sale_id: str) -> None:
        """Return when all commits of the sale's shard are applied, settled and published, and Redis has that report."""
        await eventually(lambda: self._is_settled(self.shard_of(sale_id)), SETTLES_S)

    async def _is_settled(self, shard: int) -> bool:
        async with self.redis() as redis:
            meta = await redis.hgetall(f"holdfast:{{{shard}}}:meta")
        waiting = await self.outbox_length(shard)
        head, settled = ((int(meta.get(f"{of}epoch", 0)), int(meta.get(f"{of}seq", 0))) for of in ("", "settled_"))
        watermark = await self.ledger.watermark(shard)
        assert watermark == Watermark(head, head, head, ""), f"Redis is at {head}, the ledger is at {watermark}"
        assert settled == head, f"Redis is at {head}, and its last report says that the ledger has settled {settled}"
        assert waiting == 0, f"{waiting} commits wait in the outbox"
        return True

    async def facts(self, sale_id: str) -> list[ReservationFact]:
        """Every fact that was published of a sale, in order."""
        found = [ReservationFact.FromString(value) for value in await self._records(FACTS, sale_id)]
        return [fact for fact in found if fact.reservation.sale_id == sale_id]

    async def compensations(self, sale_id: str) -> list[Compensation]:
        """Every compensation that the ledger published for a sale, repeats included."""
        found = [Compensation.FromString(value) for value in await self._records(COMPENSATIONS, sale_id)]
        return [order for order in found if order.sale_id == sale_id]

    async def publish(self, order: Compensation) -> None:
        """Send a compensation as the persister would; returns when the compensator has processed it."""
        before = self.compensation_outcomes(order.sale_id).total()
        async with AIOKafkaProducer(bootstrap_servers=self.running.addresses.kafka_brokers) as producer:
            shard = self.shard_of(order.sale_id)
            await producer.send_and_wait(COMPENSATIONS, order.SerializeToString(), partition=shard)
        await eventually(lambda: self.compensation_outcomes(order.sale_id).total() > before)

    def compensation_outcomes(self, sale_id: str) -> Counter[str]:
        """The outcomes of a sale's compensations, counted from the compensator's log."""
        lines = [line for name, line in self._log if name == "compensate" and f"sale=default/{sale_id}" in line.split()]
        return Counter(outcome for line in lines for outcome in re.findall(r"outcome=(\w+)", line))

    async def metric(self, process: str, metric: str, **labels: str) -> float:
        """A metric of a process, summed over matching samples; 0 if it is not there."""
        line = await eventually(lambda: self._metrics_line(process))
        [url] = re.findall(r"url=(\S+)", line)
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=PAGE_S).read().decode())
        samples = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
        return sum(each.value for each in samples if each.name == metric and labels.items() <= each.labels.items())

    def _metrics_line(self, process: str) -> str:
        """The last log line with the address of a process's metrics page; a stack is ready before all are logged."""
        return next((line for name, line in self._log[::-1] if name == process and re.search(r"\bmetrics\b", line)), "")

    async def _records(self, topic: str, sale_id: str) -> list[bytes]:
        """The values of a topic's partition, from its beginning to what is its end now."""
        partition = TopicPartition(topic, self.shard_of(sale_id))
        brokers = self.running.addresses.kafka_brokers
        async with AIOKafkaConsumer(bootstrap_servers=brokers, auto_offset_reset="earliest") as consumer:
            consumer.assign([partition])
            end = (await consumer.end_offsets([partition]))[partition]
            values: list[bytes] = []
            while await consumer.position(partition) < end:
                for records in (await consumer.getmany(partition, timeout_ms=1000)).values():
                    values += (record.value for record in records)
            return values

    # Faults

    @asynccontextmanager
    async def halted(self, name: str) -> AsyncIterator[None]:
        """A process is halted by SIGSTOP inside the block, and continues after it."""
        process = self.running.process(name)
        process.signal(signal.SIGSTOP)
        try:
            await eventually(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
            yield
        finally:
            process.signal(signal.SIGCONT)

    @asynccontextmanager
    async def without(self, name: str) -> AsyncIterator[None]:
        """A process is down inside the block."""
        await asyncio.to_thread(self.running.take_down, name)
        try:
            yield
        finally:
            await asyncio.to_thread(self.running.bring_up, name)

    async def run(self, *arguments: str, **changed: str) -> CommandResult:
        """Run one of the service's programs with the stack's settings: `audit`, `init`."""
        return await run_command(self.running, *arguments, **changed)
