"""Builds the arguments of reserve.lua and parses its results; it runs thousands of times a second."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from holdfast.inventory.v1.commit_pb2 import Claim
from holdfast.inventory.v1.error_reason_pb2 import ERROR_REASON_LEDGER_BEHIND, ERROR_REASON_SALE_WITHOUT_HOLDS
from holdfast.inventory.v1.reservation_pb2 import (
    LEDGER_STATE_PENDING,
    REJECTION_REASON_ATTEMPT_LIMIT,
    REJECTION_REASON_BUYER_BLOCKED,
    REJECTION_REASON_BUYER_LIMIT,
    REJECTION_REASON_INSUFFICIENT_STOCK,
    REJECTION_REASON_ITEM_LIMIT,
    REJECTION_REASON_RESERVATION_ENDED,
    REJECTION_REASON_SALE_ENDED,
    REJECTION_REASON_SALE_NOT_STARTED,
    REJECTION_REASON_SALE_PAUSED,
    REJECTION_REASON_SOLD_OUT,
)
from holdfast.inventory.v1.sale_pb2 import SALE_STATE_CLOSED

from inventory_service.adapters.redis.call import CallHead, Values
from inventory_service.adapters.redis.connection import Argument
from inventory_service.adapters.redis.keys import attempts_keys, blocked_key, sale_keys, shard_keys
from inventory_service.adapters.redis.reads import reservation_from_values
from inventory_service.domain.call_again import CALL_AGAIN, CallAgain
from inventory_service.domain.change_hold import ChangeHold
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.plain_reserve import CallMoment, PlainHold, PlainReserve, PlainResult, general
from inventory_service.domain.reservation import CONFIRMED, HELD, Reservation
from inventory_service.domain.reserve import Replay, Reserve, ReserveResult, fingerprint_of
from inventory_service.domain.results import (
    Failure,
    Granted,
    Rejected,
    Shortage,
    item_not_found,
    reservation_id_reused,
    sale_not_found,
    wrong_sale_state,
)
from inventory_service.domain.units import usual_units

Asked = Reserve | ChangeHold  # what is refused with the same results
_TEXT_HEADS = [b"\xd9" + bytes([length]) for length in range(256)]


def reserve_keys(shard: int, sales: Iterable[SaleKey]) -> list[str]:
    """The keys of a call."""
    keys: list[str] = [*shard_keys(shard), blocked_key(shard)]
    for sale in sales:
        keys += (*sale_keys(shard, sale), *attempts_keys(shard, sale))
    return keys


def reserve_arguments(
    requests: Sequence[Reserve | PlainReserve], numbers: Mapping[SaleKey, int], max_commits_ahead: int
) -> list[Argument]:
    """The arguments of a call; `numbers` are those of its sales.

    What requests mostly share, sale and fingerprint without the buyer, is sent once.
    """
    ids: list[Argument] = []
    terms: dict[tuple[SaleKey, bytes], int] = {}
    terms_of, buyers, claims = bytearray(), list[bytes](), list[bytes]()
    last_sale, last_rest, number = None, b"", 0
    for request in requests:
        if isinstance(request, PlainReserve):
            sale, reservation_id, fingerprint, claim = request
        else:
            sale, reservation_id = request.sale, request.reservation_id
            fingerprint, claim = fingerprint_of(request).encode(), _claim(request)
        buyer, _, rest = fingerprint.partition(b" ")
        if sale is not last_sale or rest != last_rest:  # mostly it is as the one before, which is told faster
            last_sale, last_rest, number = sale, rest, terms.setdefault((sale, rest), len(terms) + 1)
        terms_of.append(number)
        buyers += (_text_head(buyer), buyer)
        claims += (_text_head(claim), claim)
        ids.append(reservation_id)
    arguments: list[Argument] = [max_commits_ahead, bytes(terms_of), b"".join(buyers + claims), *ids]
    for sale, rest in terms:
        arguments += (numbers[sale], rest)
    return arguments


def _text_head(text: bytes) -> bytes:
    """What stands before the bytes of a text in MessagePack."""
    length = len(text)
    return _TEXT_HEADS[length] if length < 256 else b"\xdb" + length.to_bytes(4, "big")


def replay_arguments(request: Replay, max_commits_ahead: int) -> list[Argument]:
    """The arguments of a call with one replay of a dead letter; its mode is what tells it from a Reserve."""
    arguments = reserve_arguments([request.claim], {request.claim.sale: 1}, max_commits_ahead)
    return [*arguments, "SELL" if request.sells else "HOLD"]


def _claim(request: Reserve) -> bytes:
    """The Claim as the script puts it into the commit; encoded here because Lua takes longer."""
    (tenant, sale_id), reservation_id, buyer_id, lines, hold_ttl_ms, reference = request
    claim = Claim()  # set field by field: keywords take a fifth longer, and this runs for every Reserve
    claim.tenant, claim.sale_id, claim.reservation_id, claim.buyer_id = tenant, sale_id, reservation_id, buyer_id
    for sku, quantity in lines:
        line = claim.lines.add()
        line.sku, line.quantity = sku, quantity
    if hold_ttl_ms is not None:
        claim.asked_hold_ms = hold_ttl_ms
    if reference:
        claim.reference = reference
    return claim.SerializeToString()


def reserve_results(
    head: CallHead, requests: Sequence[Reserve | PlainReserve], results: Sequence[Any]
) -> list[PlainResult | CallAgain]:
    """Parse the results of a call. Requests that the script says are rejected alike share their Rejected."""
    parsed: list[PlainResult | CallAgain] = []
    moment = CallMoment(head.shard, head.epoch, head.seq, head.now_ms)
    for request, result in zip(requests, results, strict=True):
        if isinstance(result, int):  # else a list of values; it is as an earlier one, but for the index of a HELD
            index, place = result >> 8, result & 0xFF
            earlier = results[place - 1]
            if earlier[0] != b"HELD":
                parsed.append(parsed[place - 1])
                continue
            result = (b"HELD", index, earlier[2])
        if result[0] == b"HELD" and result[2] and isinstance(request, PlainReserve):
            parsed.append(PlainHold(moment, result[1], result[2]))
        else:
            parsed.append(reserve_result(head, general(request), result))
    return parsed


def reserve_result(head: CallHead, request: Reserve, result: Values) -> ReserveResult | CallAgain:
    """Parse one result."""
    if result[0] == b"HELD":
        return _held(head, request, result)
    return _OTHER_RESULTS[result[0]](head, request, result)


def refusal_from_values(head: CallHead, request: Asked, result: Values) -> Rejected | Failure | CallAgain:
    """Parse why there are no units."""
    return _REFUSALS[result[0]](head, request, result)


def _held(head: CallHead, request: Reserve, result: Values) -> Granted:
    _, index, expire_ms = result
    sale, reservation_id, buyer_id, lines, _, reference = request
    created = Position(head.shard, head.epoch, head.seq, index)
    now_ms = head.now_ms
    state = HELD if expire_ms else CONFIRMED
    reservation = Reservation(
        sale,
        reservation_id,
        buyer_id,
        usual_units(lines, state),
        state,
        1,
        now_ms,
        now_ms,
        expire_ms,
        created,
        created,
        LEDGER_STATE_PENDING,
        0,
        "",
        reference,
    )
    return Granted(reservation, False, now_ms)


def _replayed(head: CallHead, request: Reserve, result: Values) -> Granted:
    reservation = reservation_from_values(head, request.sale, request.reservation_id, result[1:])
    return Granted(reservation, replayed=True, read_time_ms=head.now_ms)


def _ended(head: CallHead, request: Reserve, result: Values) -> Rejected:
    """An id whose reservation has ended; a spent one has no buyer, and was created by no Reserve."""
    _, *values, seq = result
    ended = reservation_from_values(head, request.sale, request.reservation_id, values)
    spent = not ended.buyer_id
    as_of = head.position(seq)
    return Rejected(REJECTION_REASON_RESERVATION_ENDED, as_of, head.now_ms, ended=ended, replayed=not spent)


def _rejection(reason: int) -> Callable[[CallHead, Asked, Values], Rejected]:
    def rejected(head: CallHead, _: Asked, result: Values) -> Rejected:
        _, seq, retry_ms, *rest = result
        as_of, retry_after_ms = head.position(seq), None if retry_ms < 0 else retry_ms
        if reason == REJECTION_REASON_BUYER_LIMIT:
            return Rejected(reason, as_of, head.now_ms, (), rest[0], retry_after_ms)
        if reason == REJECTION_REASON_ITEM_LIMIT:
            remaining, sku = rest
            return Rejected(reason, as_of, head.now_ms, (), remaining, retry_after_ms, limited_sku=sku.decode())
        short = [Shortage(rest[at].decode(), *rest[at + 1 : at + 4]) for at in range(0, len(rest), 4)]
        return Rejected(reason, as_of, head.now_ms, tuple(short), 0, retry_after_ms)

    return rejected


_REJECTIONS = {
    b"SALE_ENDED": REJECTION_REASON_SALE_ENDED,
    b"SALE_NOT_STARTED": REJECTION_REASON_SALE_NOT_STARTED,
    b"SALE_PAUSED": REJECTION_REASON_SALE_PAUSED,
    b"BUYER_BLOCKED": REJECTION_REASON_BUYER_BLOCKED,
    b"ATTEMPT_LIMIT": REJECTION_REASON_ATTEMPT_LIMIT,
    b"SOLD_OUT": REJECTION_REASON_SOLD_OUT,
    b"INSUFFICIENT_STOCK": REJECTION_REASON_INSUFFICIENT_STOCK,
    b"ITEM_LIMIT": REJECTION_REASON_ITEM_LIMIT,
    b"BUYER_LIMIT": REJECTION_REASON_BUYER_LIMIT,
}
_REFUSALS: dict[bytes, Callable[[CallHead, Asked, Values], Rejected | Failure | CallAgain]] = {
    b"CALL_AGAIN": lambda head, request, result: CALL_AGAIN,
    b"NO_SALE": lambda head, request, result: sale_not_found(request.sale),
    b"NO_ITEM": lambda head, request, result: item_not_found(request.sale, result[1].decode()),
    b"WITHOUT_HOLDS": lambda head, request, result: Failure(ERROR_REASON_SALE_WITHOUT_HOLDS),
    b"LEDGER_BEHIND": lambda head, request, result: Failure(ERROR_REASON_LEDGER_BEHIND),
    **{result: _rejection(reason) for result, reason in _REJECTIONS.items()},
}
_OTHER_RESULTS: dict[bytes, Callable[[CallHead, Reserve, Values], ReserveResult | CallAgain]] = {
    b"REPLAYED": _replayed,
    b"ENDED": _ended,
    b"ID_REUSED": lambda head, request, result: reservation_id_reused(request.sale, request.reservation_id),
    b"SALE_CLOSED": lambda head, request, result: wrong_sale_state(SALE_STATE_CLOSED),
    **_REFUSALS,
}
