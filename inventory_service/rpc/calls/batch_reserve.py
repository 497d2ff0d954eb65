"""BatchReserve: many requests in one call, each with a result of its own."""

import asyncio
from collections.abc import Hashable, Sequence
from time import perf_counter

from google.protobuf.unknown_fields import UnknownFieldSet
from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1 import inventory_service_pb2 as calls

from inventory_service.domain.plain_reserve import PlainReserve
from inventory_service.domain.reserve import Reserve, fingerprint_of
from inventory_service.domain.results import Failure
from inventory_service.rpc.auth import tenant_of
from inventory_service.rpc.calls.call import Context
from inventory_service.rpc.calls.reserve_results import Command, Outcome, ReserveJudge, checked, result_bytes
from inventory_service.rpc.methods import CLAIM
from inventory_service.rpc.rate import CallerRate
from inventory_service.rpc.response_bytes import bytes_field
from inventory_service.rpc.slots import Slots
from inventory_service.rpc.status import CallFailed
from inventory_service.rpc.validation import Validator

MAX_REQUESTS = 500
LONGEST_TURN_S = 0.005  # of the event loop, for which all other calls wait
_RESULT_TAG = b"\x0a"  # BatchReserveResponse.results


class BatchReserveCalls:
    """BatchReserve; the stock answers repeats."""

    def __init__(self, judge: ReserveJudge, slots: Slots, rate: CallerRate | None = None) -> None:
        self._judge = judge
        self._slots = slots
        self._rate = rate

    async def BatchReserve(self, request: calls.BatchReserveRequest, context: Context) -> bytes:
        """Answer each request, in their order, serialized already; all of them have a slot, or none is judged."""
        _check_batch(request)
        if self._rate is not None:
            self._rate.charge_batch(context, len(request.requests))
        others = len(request.requests) - 1  # the call has a slot itself
        if not self._slots.take(others, CLAIM.slots):
            raise CallFailed(Failure(reasons.ERROR_REASON_OVERLOADED))
        try:
            return await self._results(request.requests, tenant_of(context))
        finally:
            self._slots.give_back(others)

    async def _results(self, requests: Sequence[calls.ReserveRequest], tenant: str) -> bytes:
        """Equal requests are one command: it is judged once, and its answer is the result of each."""
        turn = _Turn()
        names: list[Hashable] = []  # of the requests' commands
        commands: dict[Hashable, Command | CallFailed] = {}
        first: dict[Hashable, calls.ReserveRequest] = {}  # the first request of each command
        for request in requests:
            command = checked(request, tenant)
            names.append(name := _name(command))
            commands.setdefault(name, command)
            first.setdefault(name, request)
            await turn.end_if_long()
        outcomes = await self._judge_all(list(commands.values()))
        results: dict[Hashable, bytes] = {}
        for (name, request), outcome in zip(first.items(), outcomes, strict=True):
            results[name] = bytes_field(_RESULT_TAG, result_bytes(request, outcome))
            await turn.end_if_long()
        return b"".join([results[name] for name in names])

    async def _judge_all(self, commands: Sequence[Command | CallFailed]) -> Sequence[Outcome]:
        """Ask for all at once, in their order, so that those of one id are judged in it."""
        asked = [command for command in commands if not isinstance(command, CallFailed)]
        judged = iter(await asyncio.gather(*map(self._judge.judge, asked)))
        return [command if isinstance(command, CallFailed) else next(judged) for command in commands]


def _name(command: Command | CallFailed) -> Hashable:
    """The same for requests that ask for the same, in whichever form."""
    if isinstance(command, PlainReserve):
        return command.sale, command.reservation_id, command.fingerprint
    if isinstance(command, Reserve):
        return command.sale, command.reservation_id, fingerprint_of(command).encode()
    return command


def _check_batch(request: calls.BatchReserveRequest) -> None:
    """Fail the call for what is the batch's own; what is wrong in a request fails that request alone."""
    if len(UnknownFieldSet(request)):
        raise CallFailed(Failure(reasons.ERROR_REASON_UNKNOWN_FIELD))
    if not 1 <= len(request.requests) <= MAX_REQUESTS:
        fields = Validator()
        fields.add_violation("requests", f"must be 1 to {MAX_REQUESTS} requests")
        fields.raise_if_invalid()


class _Turn:
    """Lets other calls have the event loop once a batch has had it for long."""

    def __init__(self) -> None:
        self._ends = perf_counter() + LONGEST_TURN_S

    async def end_if_long(self) -> None:
        if perf_counter() > self._ends:
            await asyncio.sleep(0)
            self._ends = perf_counter() + LONGEST_TURN_S
