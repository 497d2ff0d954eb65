"""Writes the domain's values as the messages of the API."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1 import reservation_pb2, sale_pb2

from inventory_service.domain.dead_letters import DeadLetter, dead_letter_id
from inventory_service.domain.keys import Position
from inventory_service.domain.lists import BlockedBuyer
from inventory_service.domain.reservation import Line, Reservation
from inventory_service.domain.results import Granted, Rejected
from inventory_service.domain.sale import Adjustment, Item, Sale


def reserve_response(result: Granted | Rejected) -> calls.ReserveResponse:
    """Units, or why there are none."""
    response = calls.ReserveResponse(replayed=result.replayed, read_time=timestamp(result.read_time_ms))
    if isinstance(result, Granted):
        response.reservation.CopyFrom(reservation_to_proto(result.reservation))
    else:
        response.rejection.CopyFrom(rejection_to_proto(result))
    return response


def reservation_to_proto(reservation: Reservation) -> reservation_pb2.Reservation:
    """A reservation as it stands."""
    message = reservation_pb2.Reservation(
        sale_id=reservation.sale.sale_id,
        reservation_id=reservation.reservation_id,
        buyer_id=reservation.buyer_id,
        state=reservation.state,  # type: ignore[arg-type]  # the domain keeps the enums' plain ints
        revision=reservation.revision,
        create_time=timestamp(reservation.create_time_ms),
        update_time=timestamp(reservation.update_time_ms),
        expire_time=timestamp(reservation.expire_time_ms) if reservation.expire_time_ms else None,
        position=position_to_proto(reservation.position),
        ledger_state=reservation.ledger_state,  # type: ignore[arg-type]
        compensation_reason=reservation.compensation_reason,  # type: ignore[arg-type]
        note=reservation.note,
        reference=reservation.reference,
    )
    for line in reservation.lines:
        message.lines.add(
            sku=line.sku, quantity=line.claimed, confirmed_quantity=line.sold, returned_quantity=line.came_back
        )
    return message


def rejection_to_proto(result: Rejected) -> reservation_pb2.Rejection:
    message = reservation_pb2.Rejection(
        reason=result.reason,  # type: ignore[arg-type]
        buyer_remaining=result.buyer_remaining,
        limited_sku=result.limited_sku,
        retry_after=None if result.retry_after_ms is None else duration(result.retry_after_ms),
        as_of=position_to_proto(result.as_of),
        ended=None if result.ended is None else reservation_to_proto(result.ended),
    )
    for shortage in result.shortages:
        message.shortages.add(
            sku=shortage.sku, requested=shortage.requested, available=shortage.available, held=shortage.held
        )
    return message


def sale_to_proto(sale: Sale) -> sale_pb2.Sale:
    settings = sale.settings
    message = sale_pb2.Sale(
        sale_id=sale.sale.sale_id,
        title=settings.title,
        start_time=timestamp(settings.start_time_ms),
        end_time=None if settings.end_time_ms is None else timestamp(settings.end_time_ms),
        hold_ttl=duration(settings.hold_ttl_ms),
        max_hold_ttl=duration(settings.max_hold_ttl_ms),
        buyer_limit=settings.buyer_limit,
        attempts_per_minute=settings.attempts_per_minute,
        state=sale.state,  # type: ignore[arg-type]
        etag=sale.etag,
        create_time=timestamp(sale.create_time_ms),
        update_time=timestamp(sale.update_time_ms),
        paused=settings.paused,
        close_time=timestamp(settings.close_time_ms) if settings.close_time_ms else None,
        return_window=duration(settings.return_window_ms) if settings.return_window_ms else None,
    )
    message.items.extend([item_to_proto(item) for item in sale.items])
    return message


def item_to_proto(item: Item) -> sale_pb2.Item:
    return sale_pb2.Item(**item._asdict())


def adjustment_to_proto(adjustment: Adjustment) -> sale_pb2.Adjustment:
    return sale_pb2.Adjustment(
        adjustment_id=adjustment.adjustment_id,
        sale_id=adjustment.sale.sale_id,
        sku=adjustment.sku,
        delta=adjustment.delta,
        total_after=adjustment.total_after,
        reason=adjustment.reason,
        reference=adjustment.reference,
        actor=adjustment.actor,
        create_time=timestamp(adjustment.create_time_ms),
        position=position_to_proto(adjustment.position),
    )


def dead_letter_to_proto(letter: DeadLetter) -> admin.DeadLetter:
    return admin.DeadLetter(
        dead_letter_id=dead_letter_id(letter.created),
        sale_id=letter.sale.sale_id,
        reservation_id=letter.reservation_id,
        buyer_id=letter.buyer_id,
        lines=[line_to_proto(line) for line in letter.lines],
        reason=letter.reason,  # type: ignore[arg-type]
        detail=letter.detail,
        position=position_to_proto(letter.position),
        create_time=timestamp(letter.create_time_ms),
        state=letter.state,  # type: ignore[arg-type]
        replayed_as=letter.replayed_as,
        created=position_to_proto(letter.created),
        reservation_state=letter.reservation_state,  # type: ignore[arg-type]
        sold=[line_to_proto(line) for line in letter.sold],
    )


def blocked_buyer_to_proto(buyer: BlockedBuyer) -> admin.BlockedBuyer:
    return admin.BlockedBuyer(
        buyer_id=buyer.buyer_id,
        reason=buyer.reason,
        create_time=timestamp(buyer.create_time_ms),
        actor=buyer.actor,
    )


def line_to_proto(line: Line) -> reservation_pb2.Line:
    return reservation_pb2.Line(sku=line.sku, quantity=line.quantity)


def position_to_proto(position: Position) -> reservation_pb2.Position:
    return reservation_pb2.Position(shard=position.shard, epoch=position.epoch, seq=position.seq, index=position.index)


def timestamp(milliseconds: int) -> Timestamp:
    return Timestamp(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)


def duration(milliseconds: int) -> Duration:
    return Duration(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)
