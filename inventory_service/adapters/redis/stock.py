"""The stock in Redis, by running lua/: what the rule says and `domain/shelf.py` does in memory."""

from collections.abc import Sequence
from typing import Any

from holdfast.inventory.v1.error_reason_pb2 import (
    ERROR_REASON_LEDGER_BEHIND,
    ERROR_REASON_OUTCOME_UNKNOWN,
    ERROR_REASON_SHARD_NOT_SERVING,
    ERROR_REASON_STORE_UNREACHABLE,
)

from inventory_service.adapters.redis.commit_bytes import claim_of, sale_made, spent_claim
from inventory_service.adapters.redis.connections import Argument, OutcomeUnknown
from inventory_service.adapters.redis.keys import sale_from_member, sale_keys, shard_keys
from inventory_service.adapters.redis.replies import (
    CallHead,
    answer_from_verdict,
    reservation_from_values,
    sale_from_verdict,
    settled_from_verdict,
    split_reply,
)
from inventory_service.adapters.redis.scripts import RedisScripts, ShardNotServing
from inventory_service.domain.bodies import reserve_body, sale_body
from inventory_service.domain.requests import Compensate, Confirm, CreateSale, Release, Reserve, SaleKey, shard_of
from inventory_service.domain.room import Room
from inventory_service.domain.sales import sale_ends_too_early, sale_id_reused
from inventory_service.domain.shard_book import SALES_AT_ONCE
from inventory_service.domain.shards import RedisUnavailable
from inventory_service.domain.states import reservation_not_found
from inventory_service.domain.stock import sale_not_found, until_judged
from inventory_service.domain.verdicts import (
    ArchiveStep,
    Failure,
    Found,
    Granted,
    Holds,
    ReserveResult,
    SaleFound,
    SaleUnknown,
    TakenBack,
)

ALL_SALES = 1_000_000  # of one shard: more than there will be

Keyed = Reserve | Confirm | Release
Reply = tuple[CallHead, Any]


class RedisStock:
    """Every method answers with a Refusal where Redis could not be asked; none raises for that."""

    def __init__(self, scripts: RedisScripts, shards: int, outbox_limit: int) -> None:
        self._scripts = scripts
        self._shards = shards
        self.room = Room(outbox_limit)

    # ------------------------------------------------------------------------------------------------- Stock

    async def reserve(self, request: Reserve) -> ReserveResult:
        """Judge one Reserve. Servers under load ask through the batcher instead."""
        return (await self.reserve_many(self._number(request.sale), [request]))[0]

    async def confirm(self, request: Confirm) -> Granted | Failure:
        """Sell what is held."""
        return (await self.move_many(self._number(request.sale), [request]))[0]

    async def release(self, request: Release) -> Granted | Failure:
        """Give back what is held."""
        return (await self.move_many(self._number(request.sale), [request]))[0]

    async def create_sale(
        self, request: CreateSale, unknown: SaleUnknown | None = None
    ) -> SaleFound | SaleUnknown | Failure:
        """Make a sale that was `unknown`, or say how it stands."""
        reply = await self._change("create_sale", request.sale, sale_arguments(request, unknown))
        if isinstance(reply, Failure):
            return reply
        head, verdict = reply
        if verdict[0] == b"ID_REUSED":
            return sale_id_reused(request.sale)
        if verdict[0] == b"UNKNOWN":
            return SaleUnknown(verdict[1].decode())
        if verdict[0] == b"ENDS_TOO_EARLY":
            return sale_ends_too_early()
        return sale_from_verdict(head, request.sale, verdict)

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> Found | Failure:
        """Read one reservation."""
        reply = await self._read(sale, reservation_id)
        if isinstance(reply, Failure):
            return reply
        head, verdict = reply
        if verdict[0] == b"NO_SALE":
            return sale_not_found(sale)
        if verdict[0] == b"NO_RECORD":
            return reservation_not_found(sale, reservation_id)
        return Found(reservation_from_values(head, sale, reservation_id, verdict[1:]), head.now_ms)

    async def find_sale(self, sale: SaleKey) -> SaleFound | Failure:
        """Read a sale."""
        reply = await self._read(sale, "")
        if isinstance(reply, Failure):
            return reply
        head, verdict = reply
        return sale_not_found(sale) if verdict[0] == b"NO_SALE" else sale_from_verdict(head, sale, verdict)

    # -------------------------------------------------------------------------------------------- ShardStock

    async def reserve_many(self, shard: int, requests: Sequence[Reserve]) -> Sequence[ReserveResult]:
        """Judge at most 128 Reserves of at most 512 lines, in order, each seeing the ones before it."""

        async def judge(some: Sequence[Reserve]) -> Sequence[ReserveResult | None]:
            keys, numbers = _keys_of(shard, some)
            arguments: list[Argument] = [self.room.commits]
            for request in some:
                arguments += (numbers[request.sale], request.reservation_id, reserve_body(request), claim_of(request))
            reply = await self._run("reserve", shard, keys, arguments)
            if isinstance(reply, Failure):
                return [reply] * len(some)
            head, verdicts = reply
            return [answer_from_verdict(head, *pair) for pair in zip(some, verdicts, strict=True)]

        return await until_judged(requests, judge)

    async def move_many(self, shard: int, requests: Sequence[Confirm | Release]) -> Sequence[Granted | Failure]:
        """Confirm and release at most 128, in order, each seeing the ones before it."""
        keys, numbers = _keys_of(shard, requests)
        arguments: list[Argument] = []
        for request in requests:
            arguments += (numbers[request.sale], request.reservation_id, *_move_arguments(request))
        reply = await self._run("settle", shard, keys, arguments)
        if isinstance(reply, Failure):
            return [reply] * len(requests)
        head, verdicts = reply
        return [settled_from_verdict(head, *pair) for pair in zip(requests, verdicts, strict=True)]

    # ------------------------------------------------------------------------------------------ Housekeeping

    async def expire(self, shard: int) -> TakenBack | Failure:
        """Take back what is overdue, at most 100 holds, of 16 sales. A shard that has none is only read."""
        due = await self._names(shard, "DUE", SALES_AT_ONCE)
        if isinstance(due, Failure) or not due:
            return due if isinstance(due, Failure) else TakenBack(0, more_is_due=False)
        reply = await self._run("expire", shard, _keys_of_sales(shard, sorted(due)), [len(due)])
        if isinstance(reply, Failure):
            return reply
        taken_back, more_is_due = reply[1]
        return TakenBack(taken_back, bool(more_is_due))

    async def holds(self, shard: int) -> Holds | Failure:
        """Count a shard's holds, some sales at a time, so that no call blocks Redis for long."""
        sales = await self._names(shard, "HOLDING", ALL_SALES)
        if isinstance(sales, Failure):
            return sales
        stand, overdue = 0, 0
        for first in range(0, len(sales), SALES_AT_ONCE):
            some = sales[first : first + SALES_AT_ONCE]
            reply = await self._run("holds", shard, _keys_of_sales(shard, some), [len(some)], reads=True)
            if isinstance(reply, Failure):
                return reply
            stand, overdue = stand + reply[1][0], overdue + reply[1][1]
        return Holds(stand, overdue)

    async def compensate(self, request: Compensate) -> bool | Failure:
        """Give a refused order's units back; False: there was nothing to give."""
        created = request.created
        assert created.shard == self._number(request.sale), "a compensation that names another shard"
        what = (request.reservation_id, created.epoch, created.seq, created.index, request.reason, request.detail)
        reply = await self._change("compensate", request.sale, what)
        return reply if isinstance(reply, Failure) else bool(reply[1])

    async def sales(self, shard: int) -> Sequence[SaleKey] | Failure:
        """Name every sale of a shard."""
        return await self._names(shard, "ALL", ALL_SALES)

    async def forget(self, sale: SaleKey, retention_ms: int, cursor: int = 0) -> ArchiveStep | Failure:
        """Take a step of a walk over a sale: drop what is final, settled and older than `retention_ms`."""
        reply = await self._change("forget", sale, (retention_ms, cursor))
        if isinstance(reply, Failure):
            return reply
        cursor_then, dropped, sale_left, wait_ms = reply[1]
        return ArchiveStep(int(cursor_then), dropped, bool(sale_left), wait_ms)

    # ----------------------------------------------------------------------------------------------- asking

    def _number(self, sale: SaleKey) -> int:
        return shard_of(sale, self._shards)

    async def _names(self, shard: int, which: str, at_most: int) -> Sequence[SaleKey] | Failure:
        reply = await self._run("sales", shard, shard_keys(shard), (which, at_most), reads=True)
        return reply if isinstance(reply, Failure) else [sale_from_member(name) for name in reply[1]]

    async def _read(self, sale: SaleKey, reservation_id: str) -> Reply | Failure:
        shard = self._number(sale)
        keys = (*shard_keys(shard), *sale_keys(shard, sale))
        return await self._run("read", shard, keys, [reservation_id], reads=True)

    async def _change(self, script: str, sale: SaleKey, arguments: Sequence[Argument]) -> Reply | Failure:
        shard = self._number(sale)
        return await self._run(script, shard, (*shard_keys(shard), *sale_keys(shard, sale)), arguments)

    async def _run(
        self, script: str, shard: int, keys: Sequence[str], arguments: Sequence[Argument], reads: bool = False
    ) -> Reply | Failure:
        try:
            return split_reply(shard, await self._scripts.run(script, shard, keys, arguments))
        except ShardNotServing as refused:
            return failure_from_shard(refused)
        except RedisUnavailable as error:
            unknown = isinstance(error, OutcomeUnknown) and not reads
            return Failure(ERROR_REASON_OUTCOME_UNKNOWN if unknown else ERROR_REASON_STORE_UNREACHABLE)


def failure_from_shard(refused: ShardNotServing) -> Failure:
    """Say to a caller what the shard said to us; why it does not serve is the operators' business, unless frozen."""
    if refused.code == "LEDGER_BEHIND":
        return Failure(ERROR_REASON_LEDGER_BEHIND)
    frozen = {"frozen_reason": refused.detail} if refused.code == "FROZEN" else {}
    return Failure(ERROR_REASON_SHARD_NOT_SERVING, frozen)


def _keys_of_sales(shard: int, sales: Sequence[SaleKey]) -> list[str]:
    """Spell the keys of a call on whole sales."""
    keys: list[str] = [*shard_keys(shard)]
    for sale in sales:
        keys += sale_keys(shard, sale)
    return keys


def _keys_of(shard: int, requests: Sequence[Keyed]) -> tuple[list[str], dict[SaleKey, int]]:
    """Spell the keys of a call, each sale's once, and number its sales from 1."""
    keys: list[str] = [*shard_keys(shard)]
    numbers: dict[SaleKey, int] = {}
    for request in requests:
        if request.sale not in numbers:
            numbers[request.sale] = len(numbers) + 1
            keys += sale_keys(shard, request.sale)
    return keys, numbers


def _move_arguments(request: Confirm | Release) -> tuple[Argument, ...]:
    if isinstance(request, Confirm):
        return "CONFIRM", "", ""
    if request.spend_id:
        return "SPEND", request.reason, spent_claim(request.sale, request.reservation_id)
    return "RELEASE", request.reason, ""


def sale_arguments(request: CreateSale, unknown: SaleUnknown | None) -> list[Argument]:
    """Spell what create_sale.lua is told of a sale."""
    arguments: list[Argument] = [
        unknown.mark if unknown else "",
        sale_body(request),
        request.title,
        "" if request.start_time_ms is None else request.start_time_ms,
        -1 if request.end_time_ms is None else request.end_time_ms,
        request.hold_ttl_ms,
        request.max_hold_ttl_ms,
        request.buyer_limit,
        sale_made(request),
    ]
    for sku, total in request.items:
        arguments += (sku, total)
    return arguments
