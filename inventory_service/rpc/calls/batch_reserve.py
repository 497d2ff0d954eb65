"""BatchReserve: many requests in one call, each with a result of its own."""

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from re import Match
from time import perf_counter

from google.protobuf.unknown_fields import UnknownFieldSet
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.many_reserves import Claim
from inventory_service.domain.plain_reserve import PlainHold, PlainReserve
from inventory_service.domain.reserve import Reserve, fingerprint_of
from inventory_service.domain.results import Failure
from inventory_service.rpc.auth import tenant_of
from inventory_service.rpc.bulk_requests import MAX_REQUESTS, ParsedBatch
from inventory_service.rpc.calls.call import Context
from inventory_service.rpc.calls.reserve_results import ReserveJudge, Result, ResultBytes, checked
from inventory_service.rpc.methods import CLAIM
from inventory_service.rpc.plain_requests import ParsedReserve
from inventory_service.rpc.rate import CallerRate
from inventory_service.rpc.slots import Slots
from inventory_service.rpc.status import CallFailed
from inventory_service.rpc.validation import Validator

LONGEST_TURN_S = 0.005  # of the event loop, for which all other calls wait
_RESULTS = ResultBytes(b"\x0a")  # BatchReserveResponse.results


class BatchReserveCalls:
    """BatchReserve; the stock answers repeats."""

    def __init__(self, judge: ReserveJudge, slots: Slots, rate: CallerRate | None = None) -> None:
        self._judge = judge
        self._slots = slots
        self._rate = rate

    async def BatchReserve(self, request: ParsedBatch, context: Context) -> bytes:
        """Answer each request, in their order, serialized already; all of them have a slot, or none is judged."""
        requests = _requests_of(request)
        if self._rate is not None:
            self._rate.charge_batch(context, len(requests))
        others = len(requests) - 1  # the call has a slot itself
        if not self._slots.take(others, CLAIM.slots):
            raise CallFailed(Failure(reasons.ERROR_REASON_OVERLOADED))
        batch = _Batch(self._judge)
        try:
            return await batch.judge(requests, tenant_of(context))
        finally:
            try:
                await batch.close()
            finally:  # a second cancellation may end the wait
                self._slots.give_back(others)


class _Batch:
    """The requests of one batch. Equal ones are one command: it is judged once, and its answer is that of each."""

    def __init__(self, judge: ReserveJudge) -> None:
        self._asking = judge.begin(self._take)
        self.close = self._asking.close
        self._results: dict[int, Result] = {}  # by the index of the command
        self._missing = 0
        self._judged = asyncio.get_running_loop().create_future()

    async def judge(self, requests: Sequence[ParsedReserve], tenant: str) -> bytes:
        turn, commands = _Turn(), []
        for request in requests:
            commands.append(checked(request, tenant))
            if not isinstance(request, Match) and turn.is_long():  # of the usual shape, 500 take no longer than a turn
                await turn.end()
        firsts = _firsts(commands)
        asked = {first: command for first in firsts if not isinstance(command := commands[first], CallFailed)}
        await self._ask(asked)
        pieces: list[bytes] = []
        for first in firsts:
            command = commands[first]
            result = command if isinstance(command, CallFailed) else self._results[first]
            pieces += _RESULTS.of(requests[first], command, result)
            if not isinstance(result, PlainHold) and turn.is_long():
                await turn.end()
        return b"".join(pieces)

    async def _ask(self, commands: Mapping[int, Claim]) -> None:
        """Ask for all at once, in their order, so that those of one id are judged in it; return with all results."""
        self._missing = len(commands)
        if commands:
            self._asking.ask(list(commands), list(commands.values()))
            await self._judged

    def _take(self, index: int, result: Result) -> None:
        self._results[index] = result
        self._missing -= 1
        if not self._missing and not self._judged.done():
            self._judged.set_result(None)


def _firsts(commands: Sequence[Claim | CallFailed]) -> Sequence[int]:
    """For each command the index of the first that is equal to it; mostly no two are of one id."""
    if len({_id(command) for command in commands}) == len(commands):
        return range(len(commands))
    firsts: dict[Hashable, int] = {}
    return [firsts.setdefault(_name(command), index) for index, command in enumerate(commands)]


def _id(command: Claim | CallFailed) -> Hashable:
    return command if isinstance(command, CallFailed) else command.reservation_id


def _name(command: Claim | CallFailed) -> Hashable:
    """The same for requests that ask for the same, in whichever form."""
    if isinstance(command, PlainReserve):
        return command.sale, command.reservation_id, command.fingerprint
    if isinstance(command, Reserve):
        return command.sale, command.reservation_id, fingerprint_of(command).encode()
    return command


def _requests_of(batch: ParsedBatch) -> Sequence[ParsedReserve]:
    """Fail the call for what is the batch's own; what is wrong in a request fails that request alone."""
    if not isinstance(batch, list) and len(UnknownFieldSet(batch)):
        raise CallFailed(Failure(reasons.ERROR_REASON_UNKNOWN_FIELD))
    requests = batch if isinstance(batch, list) else batch.requests
    if not 1 <= len(requests) <= MAX_REQUESTS:
        fields = Validator()
        fields.add_violation("requests", f"must be 1 to {MAX_REQUESTS} requests")
        fields.raise_if_invalid()
    return requests


class _Turn:
    """Lets other calls have the event loop once a batch has had it for long."""

    def __init__(self) -> None:
        self._ends = perf_counter() + LONGEST_TURN_S

    def is_long(self) -> bool:
        return perf_counter() > self._ends

    async def end(self) -> None:
        await asyncio.sleep(0)
        self._ends = perf_counter() + LONGEST_TURN_S
