"""What the watches of a shard are read from: the stock in Redis and, for what has left it, the ledger."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.ports import Stock
from inventory_service.domain.results import Failure, ReservationRead
from inventory_service.domain.sale import SaleRead
from inventory_service.domain.versions import WatchedStock
from inventory_service.service.watches.budget import Budget
from inventory_service.service.watches.watched import Watched

ASK_ARCHIVE_S = 1.0  # between two questions to the ledger about the same sale or reservation
_UNKNOWN: Final = Failure(reasons.ERROR_REASON_OUTCOME_UNKNOWN)
log = structlog.get_logger()


class Sources:
    """What a shard's watches are read from, and the tasks of questions to the ledger, which may take seconds."""

    def __init__(self, stock: WatchedStock, archive: Stock, reads: Budget, clock: Callable[[], float]) -> None:
        self.stock = stock
        self.archive = archive  # answers also what has left Redis
        self.reads = reads  # of items and of reservations
        self.clock = clock
        self._asking: set[asyncio.Task[None]] = set()

    def ask_archive(
        self,
        watched: Watched[Any],
        question: Awaitable[SaleRead | ReservationRead | Failure],
        then: Callable[[Any], None],
    ) -> None:
        """Ask in the background about something that Redis does not know."""

        async def ask() -> None:
            began = self.clock()
            try:
                answer = await question
            except Exception:  # any bug: the question is asked again, and in a while the watches end
                log.exception("poll_failed", question="archive")
                answer = _UNKNOWN
            watched.is_asking_archive, watched.archive_asked = False, self.clock()
            if isinstance(answer, Failure):
                watched.failed(answer, began)
            else:
                then(answer)

        watched.is_asking_archive = True
        task = asyncio.create_task(ask())
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    def may_ask_archive(self, watched: Watched[Any]) -> bool:
        """Whether the last question about it is answered, and was not a moment ago."""
        return not watched.is_asking_archive and self.clock() - watched.archive_asked >= ASK_ARCHIVE_S
