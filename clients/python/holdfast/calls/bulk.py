"""Many requests at once: in batches, or as they come."""

import asyncio
import copy
from collections.abc import AsyncIterable, Iterable, Iterator, Sequence

from holdfast.bulk.batches import judge_batch
from holdfast.bulk.pending import PendingReserve
from holdfast.bulk.streams import ReserveStream, Sending
from holdfast.caller import Caller
from holdfast.connections import Stubs
from holdfast.errors import HoldfastError, NoAnswer
from holdfast.inventory.v1.inventory_service_pb2 import (
    BatchReserveRequest,
    ReserveRequest,
    ReserveResponse,
)
from holdfast.retry import Attempts
from holdfast.streams import Stream

MAX_BATCH = 500  # requests that a server takes in one call


class BulkCalls(Caller):
    """`holdfast.messages.reserve_request` makes the requests. Every request has an answer: a response or an error."""

    async def batch_reserve(self, requests: Sequence[ReserveRequest]) -> list[ReserveResponse | HoldfastError]:
        """What `reserve` would answer to each request, in their order; what it would raise stands in its place.

        A request that could not be judged is repeated with the others of its kind, as far as the patience goes. More
        than 500 are sent in several calls, one after the other, each with the patience of one.
        """
        items = [PendingReserve(request) for request in requests]
        for first in range(0, len(items), MAX_BATCH):
            await self._judge(items[first : first + MAX_BATCH])
        return [item.answer for item in items]

    def stream_reserve(
        self, requests: AsyncIterable[ReserveRequest] | Iterable[ReserveRequest]
    ) -> Stream[tuple[ReserveRequest, ReserveResponse | HoldfastError]]:
        """What `reserve` would answer to each request, as the answers come, each with its request.

        Requests are taken while fewer than 256 are without an answer that the caller has taken. What a server that
        stops has not answered goes on at another one, and what could not be judged is repeated. An error stands in
        the place of an answer; only a client that is closed, and `requests` themselves, end the iteration by one.
        """
        sending = Sending(self._pool, self._retry, self._budget, self._metadata_of)
        return ReserveStream(requests, sending)

    async def _judge(self, items: list[PendingReserve]) -> None:
        connections = self._pool.connections()
        attempts = Attempts(self._retry, self._budget, attempt_s=self._ledger_attempt_s)
        judging = self._until_judged(items, attempts, connections.in_turn())
        try:
            await self._within_patience(judging, connections, attempts, BatchReserveRequest())
        except NoAnswer as late:  # gRPC kept no deadline
            for item in items:
                if item.may_be_repeated:
                    item.fail(item.error(NoAnswer, late.code, late.message))

    async def _until_judged(self, items: list[PendingReserve], attempts: Attempts, servers: Iterator[Stubs]) -> None:
        """Send these requests, and again those that could not be judged."""
        while items:
            await judge_batch(items, next(servers), attempts.begin(), self._metadata_of)
            items = [item for item in items if item.may_be_repeated]
            if not items:
                return
            try:
                delay_s = attempts.delay_after(_error_of(items))
            except HoldfastError:  # the patience or the budget is spent
                return
            await asyncio.sleep(delay_s)


def _error_of(items: list[PendingReserve]) -> HoldfastError:
    """One error for all that are repeated together: the one that asks for the longest pause."""
    errors = [item.failed for item in items if item.failed]
    longest = copy.copy(max(errors, key=lambda error: error.retry_after_s or 0.0))
    longest.outcome_unknown = any(error.outcome_unknown for error in errors)
    return longest
