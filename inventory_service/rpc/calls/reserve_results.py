"""Judges one of many requests as Reserve does, and makes its ReserveResult: a failure does not end the call."""

from typing import TypeAlias

import structlog
from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1 import inventory_service_pb2 as calls

from inventory_service.domain.plain_reserve import PlainHold, PlainReserve, PlainResult
from inventory_service.domain.ports import Stock
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Failure, Granted, Rejected
from inventory_service.rpc.auth import current_caller
from inventory_service.rpc.calls.call import CountsOutcomes
from inventory_service.rpc.calls.reserve import reserve_from_proto
from inventory_service.rpc.plain_requests import as_plain, plain_reserve
from inventory_service.rpc.response_bytes import bytes_field, hold_bytes, response_bytes
from inventory_service.rpc.status import CallFailed, failed, status_message
from inventory_service.rpc.validation import reject_unknown_fields

Command: TypeAlias = Reserve | PlainReserve
Outcome: TypeAlias = PlainHold | Granted | Rejected | CallFailed
_RESPONSE_TAG = b"\x0a"  # ReserveResult.response
_STATUS_TAG = b"\x12"  # ReserveResult.status
log = structlog.get_logger()


class ReserveJudge:
    """Judges the requests of batches and streams one by one; each is counted as a Reserve is."""

    def __init__(self, stock: Stock, outcomes: CountsOutcomes) -> None:
        self._stock = stock
        self._outcomes = outcomes

    async def judge(self, command: Command) -> Outcome:
        """The answer, or what Reserve would have failed with. Cancelled before it goes to Redis, it is dropped."""
        try:
            result: PlainResult
            if isinstance(command, PlainReserve):
                result = await self._stock.reserve_plain(command)
            else:
                result = await self._stock.reserve(command)
        except Exception:  # any bug: it must not end the other requests
            log.exception("unhandled_exception", call="Reserve", **current_caller.get().named)
            return CallFailed(Failure(reasons.ERROR_REASON_OUTCOME_UNKNOWN))
        if isinstance(result, Failure):
            return failed(result, command.sale, command.reservation_id)
        self._outcomes.count_reserve(result)
        return result


def checked(
    request: calls.ReserveRequest, tenant: str, within: calls.StreamReserveRequest | None = None
) -> Command | CallFailed:
    """The units to hold, or what Reserve would have failed with before it asked the stock.

    A field that is unknown in the message that the request is `within` is as one in the request.
    """
    try:
        if within is not None:
            reject_unknown_fields(within)
        if (plain := as_plain(request.SerializeToString())) is not None:
            return plain_reserve(plain, tenant)
        reject_unknown_fields(request)
        return reserve_from_proto(request, tenant)
    except CallFailed as error:
        return error


def result_bytes(request: calls.ReserveRequest, outcome: Outcome) -> bytes:
    """The serialized ReserveResult of a request that was checked."""
    if isinstance(outcome, CallFailed):
        return bytes_field(_STATUS_TAG, status_message(outcome).SerializeToString())
    if isinstance(outcome, PlainHold):
        return bytes_field(_RESPONSE_TAG, hold_bytes(request.SerializeToString(), outcome))
    return bytes_field(_RESPONSE_TAG, response_bytes(request, outcome))
