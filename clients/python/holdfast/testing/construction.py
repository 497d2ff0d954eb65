"""Builds the server for tests from the server's own parts: the one file that calls their constructors."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
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
from inventory_service.domain.plain_reserve import PlainHold
from inventory_service.domain.results import Granted, Rejected
from inventory_service.domain.revocations import Revocations
from inventory_service.domain.shard_state import ShardState
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

    def count_reserve(self, result: PlainHold | Granted | Rejected) -> None:
        """Not counted."""

    def count_change(self, result: Granted | Rejected) -> None:
        """Not counted."""

    def count_messages(self, messages: int) -> None:
        """Not counted."""


class Parts(NamedTuple):
    """What the test has its hands on."""

    server: Server
    middleware: FailingMiddleware
    ledger: Ledger
    time: PassingTime


class _Stores(NamedTuple):
    """What is kept, and the clock that both go by."""

    stock: InMemoryStock
    ledger: Ledger
    clock: Clock
    shards: int

    @property
    def archive(self) -> LedgerArchive:
        return LedgerArchive(self.ledger.tables, self.shards)


def build(clock: Clock, failures: Failures, received: Received, shards: int, retention: timedelta) -> Parts:
    """A server with an empty stock and an empty ledger; must be called on the loop on which it is to run."""
    stock = InMemoryStock(clock.now_ms, shards)
    stores = _Stores(stock, Ledger(stock, shards, clock.now_ms), clock, shards)
    time = PassingTime(stock, clock, shards, retention)
    for number in range(shards):
        stock.state(number).committed = partial(_committed, stores.ledger, time, stock.state(number))
    served = ArchiveFallback(stock, stores.archive, stores.archive, Bulkhead(QUESTIONS), clock.now_ms)
    middleware, lists = FailingMiddleware(failures, received, NoMetrics()), _lists(stores)
    life = StreamLife(middleware.draining, drain_is_late=middleware.drain_is_late)
    servicer = Servicer(served, NoMetrics(), middleware.slots, life, lists, _watches(stores, served))
    admin = _admin(stores, served, middleware.draining, lists)
    return Parts(Server(servicer, admin, middleware, _health, listeners=1), middleware, stores.ledger, time)


def _committed(ledger: Ledger, time: PassingTime, shard: ShardState) -> None:
    """A commit of a shard: first what looks at that commit, then what may make others."""
    time.committed(shard)
    ledger.committed(shard)


def _lists(stores: _Stores) -> Lists:
    lists, now_ms = InMemoryLists(stores.ledger.tables, stores.shards), stores.clock.now_ms
    return Lists(lists, InMemoryMoments(stores.stock, now_ms), Bulkhead(QUESTIONS), stores.shards, now_ms)


def _admin(stores: _Stores, served: ArchiveFallback, draining: asyncio.Event, lists: Lists) -> AdminServicer:
    (stock, ledger, clock, shards), bulkhead = stores, Bulkhead(QUESTIONS)
    buyers = BlockedBuyers(InMemoryBuyers(ledger.tables, clock.now_ms), bulkhead, stock, shards)
    letters = InMemoryDeadLetters(ledger.tables)
    replays = DeadLetterReplay(letters, stores.archive, served, stock, bulkhead, clock.now_ms)
    audits = SaleAudits(InMemoryAudited(stock), InMemorySnapshots(ledger.tables, shards), shards)
    revocations = TokenRevocations(
        Revocations(), InMemoryRevocations(), InMemoryRevocationStream(), bulkhead, NoReads(), clock.now_ms
    )
    return AdminServicer(served, buyers, replays, audits, draining, lists, revocations)


def _watches(stores: _Stores, served: ArchiveFallback) -> Watches:
    def shard(sale: SaleKey) -> int:
        return shard_of(sale, stores.shards)

    watched = InMemoryWatched(stores.stock, stores.clock.now_ms)
    count_messages = NoMetrics().count_messages
    return Watches(watched, served, shard, WatchMessages(), count_messages, stores.clock.running_s, poll_often)


async def _health() -> StoreHealth:
    return StoreHealth(is_ready=True, is_initialized=True)
