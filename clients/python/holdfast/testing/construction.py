"""Builds the server for tests from the server's own parts: the one file that calls their constructors."""

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from holdfast.testing.clock import Clock
from holdfast.testing.failing_calls import FailingMiddleware, Received
from holdfast.testing.failures import Failures
from holdfast.testing.ledger.archive import LedgerArchive
from holdfast.testing.ledger.buyers import InMemoryBuyers
from holdfast.testing.ledger.ledger import Ledger
from holdfast.testing.ledger.letters import InMemoryDeadLetters
from holdfast.testing.ledger.lists import InMemoryLists
from holdfast.testing.ledger.revocations import InMemoryRevocations, InMemoryRevocationStream, NoReads
from holdfast.testing.ledger.snapshots import InMemorySnapshots
from holdfast.testing.passing_time import PassingTime
from holdfast.testing.stock.audited import InMemoryAudited
from holdfast.testing.stock.moments import InMemoryMoments
from holdfast.testing.stock.polling import poll_often
from holdfast.testing.stock.watched import InMemoryWatched
from inventory_service.domain.in_memory_stock import InMemoryStock
from inventory_service.domain.keys import SaleKey, shard_of
from inventory_service.domain.results import Granted, Rejected
from inventory_service.domain.revocations import Revocations
from inventory_service.rpc.calls.watches import WatchMessages
from inventory_service.rpc.server import Server, StoreHealth
from inventory_service.rpc.servicers import AdminServicer, Servicer
from inventory_service.rpc.stream_life import StreamLife
from inventory_service.service.archive_fallback import ArchiveFallback
from inventory_service.service.blocked_buyers import BlockedBuyers
from inventory_service.service.bulkhead import Bulkhead
from inventory_service.service.lists import Lists
from inventory_service.service.replay import DeadLetterReplay
from inventory_service.service.revocations import TokenRevocations
from inventory_service.service.sale_audit import SaleAudits
from inventory_service.service.watches.watches import Watches

QUESTIONS = 8  # that the ledger is asked at a time, for each purpose


class NoMetrics:
    """Stands for the metrics of a server process."""

    def observer(self, service: str, method: str) -> Callable[[str, float], None]:
        return lambda code, seconds: None

    def count_reserve(self, result: Granted | Rejected) -> None:
        """Not counted."""

    def count_change(self, result: Granted | Rejected) -> None:
        """Not counted."""


class Parts(NamedTuple):
    """What the test has its hands on."""

    server: Server
    middleware: FailingMiddleware
    ledger: Ledger
    time: PassingTime


def build(clock: Clock, failures: Failures, received: Received, shards: int, retention: timedelta) -> Parts:
    """A server with an empty stock and an empty ledger; must be called on the loop on which it is to run."""
    stock = InMemoryStock(clock.now_ms, shards)
    ledger = Ledger(stock, shards, clock.now_ms)
    archive = LedgerArchive(ledger.tables, shards)
    served = ArchiveFallback(stock, archive, archive, Bulkhead(QUESTIONS), clock.now_ms)
    middleware = FailingMiddleware(failures, received, NoMetrics())
    life = StreamLife(middleware.draining, drain_is_late=middleware.drain_is_late)
    lists = Lists(
        InMemoryLists(ledger.tables, shards),
        InMemoryMoments(stock, clock.now_ms),
        Bulkhead(QUESTIONS),
        shards,
        clock.now_ms,
    )
    servicer = Servicer(served, NoMetrics(), middleware.slots, life, lists, _watches(stock, served, clock, shards))
    return Parts(
        Server(servicer, _admin(served, stock, ledger, clock, shards, middleware, lists), middleware, _health, 1),
        middleware,
        ledger,
        PassingTime(stock, ledger, clock, shards, retention),
    )


def _admin(
    served: ArchiveFallback,
    stock: InMemoryStock,
    ledger: Ledger,
    clock: Clock,
    shards: int,
    middleware: FailingMiddleware,
    lists: Lists,
) -> AdminServicer:
    tables, bulkhead = ledger.tables, Bulkhead(QUESTIONS)
    archive, letters = LedgerArchive(tables, shards), InMemoryDeadLetters(tables)
    buyers = BlockedBuyers(InMemoryBuyers(tables, clock.now_ms), bulkhead, stock, shards)
    replays = DeadLetterReplay(letters, archive, served, stock, bulkhead, clock.now_ms)
    audits = SaleAudits(InMemoryAudited(stock), InMemorySnapshots(tables, shards), shards)
    revocations = TokenRevocations(
        Revocations(), InMemoryRevocations(), InMemoryRevocationStream(), bulkhead, NoReads(), clock.now_ms
    )
    return AdminServicer(served, buyers, replays, audits, middleware.draining, lists, revocations)


def _watches(stock: InMemoryStock, served: ArchiveFallback, clock: Clock, shards: int) -> Watches:
    def shard(sale: SaleKey) -> int:
        return shard_of(sale, shards)

    watched = InMemoryWatched(stock, clock.now_ms)
    count_messages: Callable[[int], None] = lambda messages: None  # noqa: E731
    return Watches(watched, served, shard, WatchMessages(), count_messages, clock.running_s, poll_often)


async def _health() -> StoreHealth:
    return StoreHealth(is_ready=True, is_initialized=True)
