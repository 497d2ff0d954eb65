"""Streams of the fake server that hold units, and what the client makes of their answers."""

from collections.abc import AsyncIterator, Iterator

from holdfast.bulk.pending import ReserveAnswer
from holdfast.inventory.v1.inventory_service_pb2 import (
    ReserveRequest,
    ReserveResult,
    StreamReserveRequest,
    StreamReserveResponse,
)
from holdfast.retry import RetryPolicy

from tests.unit.clients.fake_inventory import Step
from tests.unit.clients.results import held
from tests.waiting import LONG_S

PATIENT = RetryPolicy(overall_s=LONG_S, attempt_s=LONG_S, ledger_attempt_s=LONG_S, first_delay_s=0.001)

Pair = tuple[ReserveRequest, ReserveAnswer]


def replied(message: StreamReserveRequest, result: ReserveResult | None = None) -> StreamReserveResponse:
    """The answer to one message; without a result its units are held."""
    return StreamReserveResponse(correlation_id=message.correlation_id, result=result or held(message.request))


def hold_all(messages: Iterator[StreamReserveRequest]) -> Iterator[Step]:
    """A stream that holds everything, until its caller has no more."""
    return (replied(message) for message in messages)


async def collect(stream: AsyncIterator[Pair]) -> dict[str, ReserveAnswer]:
    """The answers by id."""
    return {request.reservation_id: reply async for request, reply in stream}
