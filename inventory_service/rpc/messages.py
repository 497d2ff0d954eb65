"""Verdicts of the domain to the messages that callers read."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1 import reservation_pb2, sale_pb2

from inventory_service.domain.requests import Position
from inventory_service.domain.verdicts import Found, Granted, Rejected, Reservation, Sale, SaleFound

_SOLD = (reservation_pb2.RESERVATION_STATE_CONFIRMED, reservation_pb2.RESERVATION_STATE_RETURNED)
_RETURNED = reservation_pb2.RESERVATION_STATE_RETURNED


def reserve_response(verdict: Granted | Rejected) -> calls.ReserveResponse:
    """Units, or why there are none."""
    response = calls.ReserveResponse(replayed=verdict.replayed, read_time=_moment(verdict.read_time_ms))
    if isinstance(verdict, Granted):
        response.reservation.CopyFrom(reservation_to_proto(verdict.reservation))
    else:
        response.rejection.CopyFrom(_rejection(verdict))
    return response


def confirm_response(verdict: Granted) -> calls.ConfirmReservationResponse:
    return calls.ConfirmReservationResponse(
        reservation=reservation_to_proto(verdict.reservation),
        replayed=verdict.replayed,
        read_time=_moment(verdict.read_time_ms),
    )


def release_response(verdict: Granted) -> calls.ReleaseReservationResponse:
    return calls.ReleaseReservationResponse(
        reservation=reservation_to_proto(verdict.reservation),
        replayed=verdict.replayed,
        read_time=_moment(verdict.read_time_ms),
    )


def reservation_response(found: Found) -> calls.GetReservationResponse:
    return calls.GetReservationResponse(
        reservation=reservation_to_proto(found.reservation), read_time=_moment(found.read_time_ms)
    )


def sale_response(found: SaleFound) -> calls.GetSaleResponse:
    return calls.GetSaleResponse(
        sale=_sale(found.sale), read_time=_moment(found.read_time_ms), as_of=_position(found.as_of)
    )


def create_sale_response(made: SaleFound) -> admin.CreateSaleResponse:
    return admin.CreateSaleResponse(sale=_sale(made.sale), replayed=made.replayed)


def reservation_to_proto(reservation: Reservation) -> reservation_pb2.Reservation:
    """A reservation as it stands."""
    message = reservation_pb2.Reservation(
        sale_id=reservation.sale.sale_id,
        reservation_id=reservation.reservation_id,
        buyer_id=reservation.buyer_id,
        state=reservation.state,  # type: ignore[arg-type]  # the domain keeps the enums' plain ints
        revision=reservation.revision,
        create_time=_moment(reservation.create_time_ms),
        update_time=_moment(reservation.update_time_ms),
        expire_time=_moment(reservation.expire_time_ms) if reservation.expire_time_ms else None,
        position=_position(reservation.position),
        ledger_state=reservation.ledger_state,  # type: ignore[arg-type]
        compensation_reason=reservation.compensation_reason,  # type: ignore[arg-type]
        note=reservation.note,
    )
    for line in reservation.lines:
        message.lines.add(
            sku=line.sku,
            quantity=line.quantity,
            confirmed_quantity=line.quantity if reservation.state in _SOLD else 0,
            returned_quantity=line.quantity if reservation.state == _RETURNED else 0,
        )
    return message


def _rejection(verdict: Rejected) -> reservation_pb2.Rejection:
    message = reservation_pb2.Rejection(
        reason=verdict.reason,  # type: ignore[arg-type]
        buyer_remaining=verdict.buyer_remaining,
        retry_after=None if verdict.retry_after_ms is None else _duration(verdict.retry_after_ms),
        as_of=_position(verdict.as_of),
        ended=None if verdict.ended is None else reservation_to_proto(verdict.ended),
    )
    for shortage in verdict.shortages:
        message.shortages.add(
            sku=shortage.sku, requested=shortage.requested, available=shortage.available, held=shortage.held
        )
    return message


def _sale(sale: Sale) -> sale_pb2.Sale:
    message = sale_pb2.Sale(
        sale_id=sale.sale.sale_id,
        title=sale.title,
        start_time=_moment(sale.start_time_ms),
        end_time=None if sale.end_time_ms is None else _moment(sale.end_time_ms),
        hold_ttl=_duration(sale.hold_ttl_ms),
        max_hold_ttl=_duration(sale.max_hold_ttl_ms),
        buyer_limit=sale.buyer_limit,
        state=sale.state,  # type: ignore[arg-type]
        etag=sale.etag,
        create_time=_moment(sale.create_time_ms),
        update_time=_moment(sale.update_time_ms),
    )
    for item in sale.items:
        message.items.add(sku=item.sku, total=item.total, available=item.available, held=item.held, sold=item.sold)
    return message


def _position(position: Position) -> reservation_pb2.Position:
    return reservation_pb2.Position(shard=position.shard, epoch=position.epoch, seq=position.seq, index=position.index)


def _moment(milliseconds: int) -> Timestamp:
    return Timestamp(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)


def _duration(milliseconds: int) -> Duration:
    return Duration(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)
