"""Requests, and parts of requests, that more than one call of the client sends."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest
from holdfast.inventory.v1.reservation_pb2 import Line


def reserve_request(
    sale_id: str,
    reservation_id: str,
    buyer_id: str,
    lines: Mapping[str, int],
    *,
    hold_ttl: timedelta | None = None,
    reference: str = "",
) -> ReserveRequest:
    """What `reserve` sends for these arguments, for `batch_reserve` and `stream_reserve`."""
    return ReserveRequest(
        sale_id=sale_id,
        reservation_id=reservation_id,
        buyer_id=buyer_id,
        lines=lines_of(lines),
        hold_ttl=hold_ttl,
        reference=reference,
    )


def lines_of(lines: Mapping[str, int]) -> list[Line]:
    """The lines of a request from SKU to units."""
    return [Line(sku=sku, quantity=quantity) for sku, quantity in lines.items()]


def with_zone(time: datetime | None) -> datetime | None:
    """A time without a zone as local time, which is what Python takes it for; protobuf would take it for UTC."""
    return time.astimezone() if time is not None and time.tzinfo is None else time
