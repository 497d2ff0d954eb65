"""Reads the scripts' replies: lists of bytes and numbers to the rule's verdicts."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from holdfast.inventory.v1.error_reason_pb2 import (
    ERROR_REASON_ITEM_NOT_FOUND,
    ERROR_REASON_LEDGER_BEHIND,
    ERROR_REASON_SALE_WITHOUT_HOLDS,
)
from holdfast.inventory.v1.reservation_pb2 import (
    LEDGER_STATE_PENDING,
    REJECTION_REASON_BUYER_LIMIT,
    REJECTION_REASON_INSUFFICIENT_STOCK,
    REJECTION_REASON_RESERVATION_ENDED,
    REJECTION_REASON_SALE_ENDED,
    REJECTION_REASON_SALE_NOT_STARTED,
    REJECTION_REASON_SALE_PAUSED,
    REJECTION_REASON_SOLD_OUT,
)

from inventory_service.domain.bodies import parse_reserve_body
from inventory_service.domain.requests import Confirm, Position, Release, Reserve, SaleKey
from inventory_service.domain.sales import etag_of
from inventory_service.domain.states import (
    CONFIRMED,
    HELD,
    ledger_state,
    reservation_not_found,
    sale_state,
    wrong_state,
)
from inventory_service.domain.stock import CALL_AGAIN, id_reused, sale_not_found
from inventory_service.domain.verdicts import (
    Failure,
    Granted,
    Item,
    Rejected,
    Reservation,
    ReserveResult,
    Sale,
    SaleFound,
    Shortage,
)

Values = Sequence[Any]


class CallHead(NamedTuple):
    """How a shard stood at the end of a call."""

    shard: int
    now_ms: int
    epoch: int
    seq: int
    settled: tuple[int, int]

    def position(self, seq: int, index: int = 0) -> Position:
        """A position in the epoch of the call."""
        return Position(self.shard, self.epoch, seq, index)


def split_reply(shard: int, reply: Values) -> tuple[CallHead, Any]:
    """Take a reply apart into how the shard stood and what the script had to say."""
    now_ms, epoch, seq, settled_epoch, settled_seq, verdicts = reply
    return CallHead(shard, now_ms, epoch, seq, (settled_epoch, settled_seq)), verdicts


def reservation_from_values(head: CallHead, sale: SaleKey, reservation_id: str, values: Values) -> Reservation:
    """Read a record as the prelude's `record_reply` writes it, behind its verdict."""
    state, revision, create_ms, update_ms, expire_ms, *positions, reason, body, note = values
    created, latest = Position(head.shard, *positions[:3]), Position(head.shard, *positions[3:])
    buyer_id, lines = parse_reserve_body(body.decode())
    said = ledger_state(state, latest.epoch, latest.seq, head.settled)
    return Reservation(
        sale,
        reservation_id,
        buyer_id,
        lines,
        state,
        revision,
        create_ms,
        update_ms,
        expire_ms,
        created,
        latest,
        said,
        reason,
        note.decode(),
    )


# ---------------------------------------------------------------------------------------------------- reserve


def answer_from_verdict(head: CallHead, request: Reserve, verdict: Values) -> ReserveResult | None:
    """Read one verdict of reserve.lua. The first branch is the busy one: thousands a second."""
    if verdict[0] == b"HELD":
        return _held(head, request, verdict)
    return _OTHER_ANSWERS[verdict[0]](head, request, verdict)


def _held(head: CallHead, request: Reserve, verdict: Values) -> Granted:
    _, index, expire_ms = verdict
    sale, reservation_id, buyer_id, lines, _ = request
    made = Position(head.shard, head.epoch, head.seq, index)
    now_ms = head.now_ms
    state = HELD if expire_ms else CONFIRMED
    reservation = Reservation(
        sale,
        reservation_id,
        buyer_id,
        lines,
        state,
        1,
        now_ms,
        now_ms,
        expire_ms,
        made,
        made,
        LEDGER_STATE_PENDING,
        0,
        "",
    )
    return Granted(reservation, False, now_ms)


def _replayed(head: CallHead, request: Reserve, verdict: Values) -> Granted:
    reservation = reservation_from_values(head, request.sale, request.reservation_id, verdict[1:])
    return Granted(reservation, replayed=True, read_time_ms=head.now_ms)


def _ended(head: CallHead, request: Reserve, verdict: Values) -> Rejected:
    _, *values, seen = verdict
    ended = reservation_from_values(head, request.sale, request.reservation_id, values)
    spent = not ended.buyer_id
    as_of = head.position(seen)
    return Rejected(REJECTION_REASON_RESERVATION_ENDED, as_of, head.now_ms, ended=ended, replayed=not spent)


def _item_not_found(_: CallHead, request: Reserve, verdict: Values) -> Failure:
    return Failure(ERROR_REASON_ITEM_NOT_FOUND, {"sale_id": request.sale.sale_id, "sku": verdict[1].decode()})


def _rejection(reason: int) -> Callable[[CallHead, Reserve, Values], Rejected]:
    def rejected(head: CallHead, _: Reserve, verdict: Values) -> Rejected:
        _, seen, retry_ms, *rest = verdict
        as_of, retry_after_ms = head.position(seen), None if retry_ms < 0 else retry_ms
        if reason == REJECTION_REASON_BUYER_LIMIT:
            return Rejected(reason, as_of, head.now_ms, (), rest[0], retry_after_ms)
        short = [Shortage(rest[at].decode(), *rest[at + 1 : at + 4]) for at in range(0, len(rest), 4)]
        return Rejected(reason, as_of, head.now_ms, tuple(short), 0, retry_after_ms)

    return rejected


_OTHER_ANSWERS: dict[bytes, Callable[[CallHead, Reserve, Values], ReserveResult | None]] = {
    b"CALL_AGAIN": lambda head, request, verdict: CALL_AGAIN,
    b"REPLAYED": _replayed,
    b"ENDED": _ended,
    b"ID_REUSED": lambda head, request, verdict: id_reused(request),
    b"NO_SALE": lambda head, request, verdict: sale_not_found(request.sale),
    b"NO_ITEM": _item_not_found,
    b"WITHOUT_HOLDS": lambda head, request, verdict: Failure(ERROR_REASON_SALE_WITHOUT_HOLDS),
    b"LEDGER_BEHIND": lambda head, request, verdict: Failure(ERROR_REASON_LEDGER_BEHIND),
    b"SALE_ENDED": _rejection(REJECTION_REASON_SALE_ENDED),
    b"SALE_NOT_STARTED": _rejection(REJECTION_REASON_SALE_NOT_STARTED),
    b"SALE_PAUSED": _rejection(REJECTION_REASON_SALE_PAUSED),
    b"SOLD_OUT": _rejection(REJECTION_REASON_SOLD_OUT),
    b"INSUFFICIENT_STOCK": _rejection(REJECTION_REASON_INSUFFICIENT_STOCK),
    b"BUYER_LIMIT": _rejection(REJECTION_REASON_BUYER_LIMIT),
}


# ------------------------------------------------------------------------------------------------- the others


def settled_from_verdict(head: CallHead, request: Confirm | Release, verdict: Values) -> Granted | Failure:
    """Read one verdict of settle.lua."""
    if verdict[0] == b"NO_SALE":
        return sale_not_found(request.sale)
    if verdict[0] == b"NO_RECORD":
        return reservation_not_found(request.sale, request.reservation_id)
    reservation = reservation_from_values(head, request.sale, request.reservation_id, verdict[1:])
    if verdict[0] == b"WRONG_STATE":
        return wrong_state(reservation)
    return Granted(reservation, replayed=verdict[0] == b"REPLAYED", read_time_ms=head.now_ms)


def sale_from_verdict(head: CallHead, key: SaleKey, verdict: Values) -> SaleFound:
    """Read a sale as the prelude's `sale_reply` writes it."""
    how, title, start_ms, end_ms, hold_ttl_ms, max_hold_ttl_ms, buyer_limit, paused, closed, *rest = verdict
    *position, create_ms, update_ms, stock = rest
    items = (_item(*stock[at : at + 4]) for at in range(0, len(stock), 4))
    end = None if end_ms < 0 else end_ms
    sale = Sale(
        sale=key,
        title=title.decode(),
        start_time_ms=start_ms,
        end_time_ms=end,
        hold_ttl_ms=hold_ttl_ms,
        max_hold_ttl_ms=max_hold_ttl_ms,
        buyer_limit=buyer_limit,
        state=sale_state(start_ms, end, bool(paused), bool(closed), head.now_ms),
        items=tuple(sorted(items)),
        etag=etag_of(*position),
        create_time_ms=create_ms,
        update_time_ms=update_ms,
    )
    return SaleFound(sale, head.position(head.seq), head.now_ms, replayed=how == b"REPLAYED")


def _item(sku: bytes, available: int, held: int, sold: int) -> Item:
    return Item(sku.decode(), available + held + sold, available, held, sold)
