"""Judges many requests as Reserve does, and makes the ReserveResult of each: a failure does not end the call."""

from re import Match
from typing import Any, TypeAlias

import structlog
from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1 import inventory_service_pb2 as calls

from inventory_service.domain.many_reserves import Claim, ManyReserves, OnResult, ReserveGroup
from inventory_service.domain.plain_reserve import PlainHold, PlainResult
from inventory_service.domain.results import Failure
from inventory_service.rpc.auth import current_caller
from inventory_service.rpc.calls.call import CountsOutcomes
from inventory_service.rpc.calls.reserve import reserve_from_proto
from inventory_service.rpc.plain_requests import ParsedReserve, as_plain, plain_reserve
from inventory_service.rpc.response_bytes import hold_bytes, response_bytes, varint
from inventory_service.rpc.status import CallFailed, failed, status_message
from inventory_service.rpc.validation import reject_unknown_fields

Result: TypeAlias = PlainResult | Exception  # CallFailed: the request was not asked for
_FAILURES = (Failure, Exception)  # to write Failure | Exception where it is asked makes a type each time
log = structlog.get_logger()


class ReserveJudge:
    """Judges the requests of batches and streams; each that is answered is counted as a Reserve is."""

    def __init__(self, stock: ManyReserves, outcomes: CountsOutcomes) -> None:
        self._stock = stock
        self._outcomes = outcomes

    def begin(self, on_result: OnResult) -> ReserveGroup:
        """One batch or stream."""
        count = self._outcomes.count_reserve

        def count_and_pass_on(key: Any, result: Result) -> None:
            try:
                on_result(key, result)
                if not isinstance(result, _FAILURES):
                    count(result)
            except Exception:  # whatever it is, the answers to other requests come after this one
                log.exception("unhandled_exception", call="Reserve")

        return self._stock.begin(count_and_pass_on)


def checked(
    request: ParsedReserve, tenant: str, within: calls.StreamReserveRequest | None = None
) -> Claim | CallFailed:
    """The units to hold, or what Reserve would have failed with before it asked the stock.

    A field that is unknown in the message that the request is `within` is as one in the request.
    """
    if isinstance(request, Match):
        return plain_reserve(request, tenant)
    try:
        if within is not None:
            reject_unknown_fields(within)
        if (plain := as_plain(request.SerializeToString())) is not None:
            return plain_reserve(plain, tenant)
        reject_unknown_fields(request)
        return reserve_from_proto(request, tenant)
    except CallFailed as error:
        return error


class ResultBytes:
    """Serializes ReserveResults as a field of the message that they are in."""

    def __init__(self, tag: bytes) -> None:
        """`tag` is that field's."""
        self._tag = tag
        self._short = [self._head_of_response(length) for length in range(512)]  # the responses to most requests

    def of(self, request: ParsedReserve, command: Claim | CallFailed, result: Result) -> tuple[bytes, bytes]:
        """The result of a request that was checked, in two pieces."""
        if isinstance(result, PlainHold):
            raw = request.string if isinstance(request, Match) else request.SerializeToString()
            response = hold_bytes(raw, result)
        elif isinstance(result, _FAILURES):
            status = b"\x12" + _field(status_message(_failed(command, result)).SerializeToString())
            return self._tag, _field(status)
        else:
            response = response_bytes(result)
        length = len(response)
        return self._short[length] if length < 512 else self._head_of_response(length), response

    def _head_of_response(self, length: int) -> bytes:
        """What stands before a response of so many bytes."""
        head = b"\x0a" + varint(length)  # ReserveResult.response
        return self._tag + varint(len(head) + length) + head


def _field(content: bytes) -> bytes:
    return varint(len(content)) + content


def _failed(command: Claim | CallFailed, result: Failure | Exception) -> CallFailed:
    """What Reserve would have failed with."""
    if isinstance(command, CallFailed):
        return command
    if isinstance(result, Failure):
        return failed(result, command.sale, command.reservation_id)
    log.error("unhandled_exception", call="Reserve", exc_info=result, **current_caller.get().named)
    return CallFailed(Failure(reasons.ERROR_REASON_OUTCOME_UNKNOWN))
