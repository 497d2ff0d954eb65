"""The stock in Redis: runs the scripts of lua/, which apply the same rule as `domain/in_memory_stock.py`."""

from collections.abc import Sequence

from holdfast.inventory.v1.commit_pb2 import SaleLeft
from holdfast.inventory.v1.error_reason_pb2 import (
    ERROR_REASON_LEDGER_BEHIND,
    ERROR_REASON_OUTCOME_UNKNOWN,
    ERROR_REASON_SHARD_NOT_SERVING,
    ERROR_REASON_STORE_UNREACHABLE,
)

from inventory_service.adapters.redis.adjustments import adjust_stock_arguments, adjust_stock_result
from inventory_service.adapters.redis.call import Reply, keys_of, number_sales, split_reply
from inventory_service.adapters.redis.change_hold import change_hold_arguments, change_hold_result
from inventory_service.adapters.redis.connection import Argument, OutcomeUnknown
from inventory_service.adapters.redis.keys import adjustments_key, sale_from_member, sale_keys, shard_keys
from inventory_service.adapters.redis.moves import (
    compensate_arguments,
    move_arguments,
    move_result,
    return_archived_arguments,
)
from inventory_service.adapters.redis.reads import reservation_result, sale_result
from inventory_service.adapters.redis.reserve import (
    replay_arguments,
    reserve_arguments,
    reserve_keys,
    reserve_result,
    reserve_results,
)
from inventory_service.adapters.redis.sale_changes import change_sale_arguments, change_sale_result
from inventory_service.adapters.redis.sales import create_sale_arguments, create_sale_result
from inventory_service.adapters.redis.scripts import LEDGER_BEHIND, RedisScripts, ShardNotServing
from inventory_service.adapters.redis.versions import shard_versions
from inventory_service.domain.archive import ArchiveStep, ReturnArchived
from inventory_service.domain.backpressure import Backpressure
from inventory_service.domain.call_again import CallAgain, until_judged
from inventory_service.domain.change_hold import ChangeHold, ChangeResult
from inventory_service.domain.keys import SaleKey, shard_of
from inventory_service.domain.moves import Compensate, Move
from inventory_service.domain.plain_reserve import PlainHold, PlainReserve, PlainResult
from inventory_service.domain.ports import ExpireStep, HoldCounts
from inventory_service.domain.reserve import Replay, Reserve, ReserveResult
from inventory_service.domain.results import Failure, Granted, ReservationRead
from inventory_service.domain.sale import Adjusted, AdjustStock, CreateSale, SaleRead, SaleRequest, SaleResult
from inventory_service.domain.shard_state import SALES_PER_CALL
from inventory_service.domain.shards import CommitId, RedisUnavailable
from inventory_service.domain.versions import ShardVersions

BATCHED = frozenset({"reserve", "move", "change_hold"})  # scripts that a batcher calls, one at a time for each shard
_METADATA = {"FROZEN": "frozen_reason", "CLOCK_AHEAD": "clock", "TIME_AHEAD": "clock"}


class RedisStock:
    """Every method returns a Failure if Redis is unavailable or the shard does not serve; none raises for that."""

    def __init__(
        self, scripts: RedisScripts, shards: int, outbox_limit: int, batched: RedisScripts | None = None
    ) -> None:
        """With `batched` the calls of a batcher have connections of their own, and never wait for all the others."""
        self._scripts = scripts
        self._batched = batched or scripts
        self._shards = shards
        self.backpressure = Backpressure(outbox_limit)

    # ------------------------------------------------------------------------------------------------- Stock

    async def reserve(self, request: Reserve) -> ReserveResult:
        """Judge one Reserve. Servers call `reserve_many` through the batcher instead."""
        result = (await self.reserve_many(self._shard_of(request.sale), [request]))[0]
        assert not isinstance(result, PlainHold), "that is for a PlainReserve"
        return result

    async def reserve_plain(self, request: PlainReserve) -> PlainResult:
        """The same for one of the usual shape."""
        return (await self.reserve_many(self._shard_of(request.sale), [request]))[0]

    async def move(self, request: Move) -> Granted | Failure:
        """Judge one move."""
        return (await self.move_many(self._shard_of(request.sale), [request]))[0]

    async def change_sale(self, request: SaleRequest) -> SaleResult | Failure:
        """Create a sale that the ledger does not have, change one, or read how it stands."""
        if isinstance(request, AdjustStock):
            return await self._adjust_stock(request)
        if isinstance(request, CreateSale):
            reply = await self._run_on("create_sale", request.sale, create_sale_arguments(request))
            return reply if isinstance(reply, Failure) else create_sale_result(reply[0], request.sale, reply[1])
        reply = await self._run_on("change_sale", request.sale, change_sale_arguments(request))
        return reply if isinstance(reply, Failure) else change_sale_result(reply[0], request, reply[1])

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> ReservationRead | Failure:
        """Read one reservation."""
        return (await self.find_reservations(sale, [reservation_id]))[0]

    async def find_sale(self, sale: SaleKey) -> SaleRead | Failure:
        """Read a sale."""
        reply = await self._run_on("read", sale, [""], reads=True)
        return reply if isinstance(reply, Failure) else sale_result(reply[0], sale, reply[1])

    # -------------------------------------------------------------------------------------------- ShardStock

    async def reserve_many(
        self, shard: int, requests: Sequence[Reserve | PlainReserve]
    ) -> Sequence[ReserveResult | PlainHold]:
        """Judge at most 128 Reserves of at most 512 lines, in order, each seeing the ones before it."""

        async def judge_some(some: Sequence[Reserve | PlainReserve]) -> Sequence[PlainResult | CallAgain]:
            numbers = number_sales([request.sale for request in some])
            arguments = reserve_arguments(some, numbers, self.backpressure.max_commits_ahead)
            reply = await self._run("reserve", shard, reserve_keys(shard, numbers), arguments)
            if isinstance(reply, Failure):
                return [reply] * len(some)
            head, results = reply
            return reserve_results(head, some, results)

        return await until_judged(requests, judge_some)

    async def move_many(self, shard: int, requests: Sequence[Move]) -> Sequence[Granted | Failure]:
        """Judge at most 128 moves, in order, each seeing the ones before it."""
        numbers = number_sales([request.sale for request in requests])
        reply = await self._run("move", shard, keys_of(shard, numbers), move_arguments(requests, numbers))
        if isinstance(reply, Failure):
            return [reply] * len(requests)
        head, results = reply
        return [move_result(head, *pair) for pair in zip(requests, results, strict=True)]

    async def change_hold(self, request: ChangeHold) -> ChangeResult:
        """Set what a hold holds."""
        shard = self._shard_of(request.sale)

        async def judge_one(some: Sequence[ChangeHold]) -> Sequence[ChangeResult | CallAgain]:
            arguments = change_hold_arguments(request, self.backpressure.max_commits_ahead)
            reply = await self._run("change_hold", shard, reserve_keys(shard, [request.sale]), arguments)
            return [reply if isinstance(reply, Failure) else change_hold_result(reply[0], request, reply[1])]

        results: list[ChangeResult] = await until_judged([request], judge_one)
        return results[0]

    async def replay(self, request: Replay) -> ReserveResult:
        """Reserve anew what a refused order had; no batcher calls this."""
        claim, shard = request.claim, self._shard_of(request.claim.sale)

        async def judge_one(some: Sequence[Replay]) -> Sequence[ReserveResult | CallAgain]:
            arguments = replay_arguments(request, self.backpressure.max_commits_ahead)
            reply = await self._run("reserve", shard, reserve_keys(shard, [claim.sale]), arguments, is_batched=False)
            return [reply if isinstance(reply, Failure) else reserve_result(reply[0], claim, reply[1][0])]

        results: list[ReserveResult] = await until_judged([request], judge_one)
        return results[0]

    async def return_archived(self, request: ReturnArchived) -> Granted | Failure:
        """Take back sold units of a reservation that has left."""
        reply = await self._run_on("return_archived", request.move.sale, return_archived_arguments(request))
        return reply if isinstance(reply, Failure) else move_result(reply[0], request.move, reply[1])

    # ------------------------------------------------------------------------------------------ WatchedStock

    async def find_reservations(
        self, sale: SaleKey, reservation_ids: Sequence[str]
    ) -> Sequence[ReservationRead | Failure]:
        """Read at most 128 reservations of a sale."""
        reply = await self._run_on("read", sale, reservation_ids, reads=True)
        if isinstance(reply, Failure):
            return [reply] * len(reservation_ids)
        head, results = reply
        each = zip(reservation_ids, results, strict=True)
        return [reservation_result(head, sale, reservation_id, result) for reservation_id, result in each]

    async def read_versions(self, shard: int, sales: Sequence[SaleKey]) -> ShardVersions | Failure:
        """Read how far a shard is, and when at most 128 sales of it changed last."""
        keys = [*shard_keys(shard), *(sale_keys(shard, sale).sale for sale in sales)]
        reply = await self._run("read_versions", shard, keys, [], reads=True)
        return reply if isinstance(reply, Failure) else shard_versions(*reply)

    # -------------------------------------------------------------------------------------- StockMaintenance

    async def expire(self, shard: int) -> ExpireStep | Failure:
        """Expire overdue holds, at most 100, of 16 sales. A shard without any is only read."""
        listed = await self._run("list_sales", shard, shard_keys(shard), ("DUE", SALES_PER_CALL), reads=True)
        if isinstance(listed, Failure):
            return listed
        due = [sale_from_member(name) for name in listed[1][1]]
        if not due:
            return ExpireStep(0, more_is_due=False)
        reply = await self._run("expire", shard, keys_of(shard, sorted(due)), [len(due)])
        if isinstance(reply, Failure):
            return reply
        holds, more_is_due = reply[1]
        return ExpireStep(holds, bool(more_is_due))

    async def count_holds(self, shard: int) -> HoldCounts | Failure:
        """Count a shard's holds, some sales a call, so that no call blocks Redis for long."""
        sales = await self._walk("HOLDING", shard)
        if isinstance(sales, Failure):
            return sales
        open_holds, overdue_holds = 0, 0
        for first in range(0, len(sales), SALES_PER_CALL):
            some = sales[first : first + SALES_PER_CALL]
            reply = await self._run("count_holds", shard, keys_of(shard, some), [len(some)], reads=True)
            if isinstance(reply, Failure):
                return reply
            open_holds, overdue_holds = open_holds + reply[1][0], overdue_holds + reply[1][1]
        return HoldCounts(open_holds, overdue_holds)

    async def compensate(self, request: Compensate) -> bool | Failure:
        """Give a refused order's units back; False: there was nothing to give back."""
        assert request.created.shard == self._shard_of(request.sale), "a compensation of another shard"
        reply = await self._run_on("compensate", request.sale, compensate_arguments(request))
        return reply if isinstance(reply, Failure) else bool(reply[1][0])

    async def list_sales(self, shard: int) -> Sequence[SaleKey] | Failure:
        """List every sale of a shard."""
        return await self._walk("ALL", shard)

    async def archive(self, sale: SaleKey, retention_ms: int, cursor: int = 0) -> ArchiveStep | Failure:
        """Scan a part of a sale: drop reservations that are final, settled and older than `retention_ms`."""
        key = adjustments_key(self._shard_of(sale), sale)
        left = SaleLeft(tenant=sale.tenant, sale_id=sale.sale_id).SerializeToString()
        reply = await self._run_on("archive", sale, (retention_ms, cursor, left), more_keys=[key])
        if isinstance(reply, Failure):
            return reply
        next_cursor, dropped, sale_left, wait_ms = reply[1]
        return ArchiveStep(int(next_cursor), dropped, bool(sale_left), wait_ms)

    async def _adjust_stock(self, request: AdjustStock) -> Adjusted | Failure:
        async def judge_one(_: Sequence[AdjustStock]) -> Sequence[Adjusted | Failure | CallAgain]:
            key = adjustments_key(self._shard_of(request.sale), request.sale)
            reply = await self._run_on("adjust_stock", request.sale, adjust_stock_arguments(request), more_keys=[key])
            return [reply if isinstance(reply, Failure) else adjust_stock_result(reply[0], request, reply[1])]

        results: list[Adjusted | Failure] = await until_judged([request], judge_one)
        return results[0]

    # ---------------------------------------------------------------------------------------- script calls

    def _shard_of(self, sale: SaleKey) -> int:
        return shard_of(sale, self._shards)

    async def _walk(self, which: str, shard: int) -> Sequence[SaleKey] | Failure:
        """Name sales, some thousand a call, so that no call blocks Redis for long."""
        sales: dict[SaleKey, None] = {}
        cursor = b"0"
        while True:
            reply = await self._run("list_sales", shard, shard_keys(shard), (which, cursor), reads=True)
            if isinstance(reply, Failure):
                return reply
            cursor, names = reply[1]
            sales |= dict.fromkeys(map(sale_from_member, names))
            if cursor == b"0":
                return list(sales)

    async def _run_on(
        self,
        script: str,
        sale: SaleKey,
        arguments: Sequence[Argument],
        reads: bool = False,
        more_keys: Sequence[str] = (),
    ) -> Reply | Failure:
        shard = self._shard_of(sale)
        return await self._run(script, shard, [*keys_of(shard, [sale]), *more_keys], arguments, reads)

    async def _run(
        self,
        script: str,
        shard: int,
        keys: Sequence[str],
        arguments: Sequence[Argument],
        reads: bool = False,
        is_batched: bool = True,
    ) -> Reply | Failure:
        scripts = self._batched if is_batched and script in BATCHED else self._scripts
        try:
            reply = split_reply(shard, await scripts.run(script, shard, keys, arguments))
            scripts.heads.observe(shard, CommitId(reply[0].epoch, reply[0].seq))
            return reply
        except ShardNotServing as error:
            return failure_from_shard(error)
        except RedisUnavailable as error:
            unknown = isinstance(error, OutcomeUnknown) and not reads
            return Failure(ERROR_REASON_OUTCOME_UNKNOWN if unknown else ERROR_REASON_STORE_UNREACHABLE)


def failure_from_shard(error: ShardNotServing) -> Failure:
    """The failure for the caller; why the shard does not serve is in it unless a take-over is all that it waits for."""
    if error.code == LEDGER_BEHIND:
        return Failure(ERROR_REASON_LEDGER_BEHIND)
    name = _METADATA.get(error.code)
    return Failure(ERROR_REASON_SHARD_NOT_SERVING, {name: error.detail} if name else {})
