"""Failures on order: which calls fail, how, and whether what they ask for is done before."""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import grpc

from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from inventory_service.domain.results import Failure
from inventory_service.rpc.methods import METHODS
from inventory_service.rpc.status import AbortArguments, CallFailed, row_of, status_of

_PREFIX = "ERROR_REASON_"


class FailureOrder(NamedTuple):
    """What happens to a call."""

    status: AbortArguments | None  # None: it is delayed, and then answered
    done: bool  # the call is carried out before it fails or is delayed: its answer is lost, or late
    delay_s: float
    messages: int  # of a stream: so many are sent before it fails


class Failures:
    """The orders of each method, the first one first."""

    def __init__(self) -> None:
        self._orders: defaultdict[str, list[FailureOrder | None]] = defaultdict(list)

    def add(self, method: str, order: FailureOrder, times: int, after: int) -> None:
        """Let so many calls of the method pass that no order is for yet, and then carry the order out so often."""
        if method not in METHODS:
            raise ValueError(f"there is no method {method}; {', '.join(METHODS)} are those that there are")
        self._orders[method] += [None] * after + [order] * times

    def take(self, method: str) -> FailureOrder | None:
        """The order for the next call of a method; None: it is answered as usual."""
        orders = self._orders[method]
        return orders.pop(0) if orders else None

    def clear(self) -> None:
        """Forget all orders."""
        self._orders.clear()


def status_for(
    failure: str | grpc.StatusCode, metadata: Mapping[str, str], retry_after_s: float | None
) -> AbortArguments:
    """The status of a reason, as the server sends it, or a bare code, as proxies and gRPC itself send it."""
    if isinstance(failure, grpc.StatusCode):
        if failure is grpc.StatusCode.OK:
            raise ValueError("OK is no failure")
        if metadata or retry_after_s is not None:
            raise ValueError("there is no reason, and so no details, beside a bare code")
        return AbortArguments(failure, "Failed on the order of a test.", ())
    name = failure if failure.startswith(_PREFIX) else _PREFIX + failure
    if name not in ErrorReason.keys() or name == f"{_PREFIX}UNSPECIFIED":  # noqa: SIM118  (it is no mapping)
        known = ", ".join(each.removeprefix(_PREFIX) for each in ErrorReason.keys()[1:])
        raise ValueError(f"there is no reason {failure}; {known} are those that there are")
    reason = ErrorReason.Value(name)
    if retry_after_s is not None and row_of(reason).retry_ms is None:
        raise ValueError(f"{failure} never comes with a time after which to retry")
    retry_ms = None if retry_after_s is None else round(retry_after_s * 1000)
    return status_of(CallFailed(Failure(reason, dict(metadata)), retry_ms=retry_ms))
