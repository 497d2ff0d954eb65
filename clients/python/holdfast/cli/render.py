"""Writes reservations, rejections and sales as lines of text for a terminal."""

from datetime import datetime, timedelta

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.timestamp_pb2 import Timestamp
from rich.table import Table
from rich.text import Text

from holdfast.cli.terminal import printable, screen
from holdfast.inventory.v1.inventory_admin_service_pb2 import (
    AdjustStockResponse,
    CloseSaleResponse,
    CreateSaleResponse,
    PauseSaleResponse,
    ResumeSaleResponse,
    UpdateSaleResponse,
)
from holdfast.inventory.v1.inventory_service_pb2 import (
    ChangeReservationResponse,
    ConfirmReservationResponse,
    ExtendReservationResponse,
    GetReservationResponse,
    ReleaseReservationResponse,
    ReserveResponse,
    ReturnReservationResponse,
)
from holdfast.inventory.v1.reservation_pb2 import (
    CompensationReason,
    LedgerState,
    Rejection,
    RejectionReason,
    Reservation,
    ReservationLine,
    ReservationState,
)
from holdfast.inventory.v1.sale_pb2 import Sale, SaleState

Moved = ConfirmReservationResponse | ReleaseReservationResponse | ExtendReservationResponse | ReturnReservationResponse
ChangedSale = CreateSaleResponse | UpdateSaleResponse | PauseSaleResponse | ResumeSaleResponse | CloseSaleResponse
LIMITS = (RejectionReason.REJECTION_REASON_BUYER_LIMIT, RejectionReason.REJECTION_REASON_ITEM_LIMIT)
SOLD = (ReservationState.RESERVATION_STATE_CONFIRMED, ReservationState.RESERVATION_STATE_RETURNED)
STATE_STYLES = {
    ReservationState.RESERVATION_STATE_HELD: "bold yellow",
    ReservationState.RESERVATION_STATE_CONFIRMED: "bold green",
}


def show(line: str, style: str = "") -> None:
    """Print one line, which may hold text from a server."""
    screen.print(printable(line), style=style)


def show_head(state: str, style: str, name: str, rest: str) -> None:
    """Print the first line of an answer: its state, its id, and what goes with it."""
    parts = ((state, style), (f"  {name}", "bold"), (rest, ""))
    screen.print(Text.assemble(*((printable(text), look) for text, look in parts)))


def show_reservation(reservation: Reservation, read_time: Timestamp, *, replayed: bool = False) -> None:
    """One reservation, in a few lines."""
    buyer = f", buyer {reservation.buyer_id}" if reservation.buyer_id else ""
    show_head(
        word(ReservationState, reservation.state),
        STATE_STYLES.get(reservation.state, "bold red"),
        reservation.reservation_id,
        f"  sale {reservation.sale_id}{buyer}",
    )
    for line in reservation.lines:
        show(f"  {_line_text(line, reservation.state)}")
    for remark in _remarks(reservation, read_time, replayed):
        show(f"  {remark}", "dim")


def lines_text(reservation: Reservation) -> str:
    """All lines of a reservation in one."""
    return "; ".join(_line_text(line, reservation.state) for line in reservation.lines)


def _line_text(line: ReservationLine, state: int) -> str:
    """A line with what was sold of it, if that is not all, and what has come back."""
    parts = [f"{line.quantity} {line.sku}"]
    if state in SOLD and line.confirmed_quantity != line.quantity:
        parts.append(f", {line.confirmed_quantity} sold")
    if line.returned_quantity:
        parts.append(f", {line.returned_quantity} back")
    return "".join(parts)


def _remarks(reservation: Reservation, read_time: Timestamp, replayed: bool) -> list[str]:
    remarks = []
    if reservation.state == ReservationState.RESERVATION_STATE_HELD:
        left = reservation.expire_time.ToDatetime() - read_time.ToDatetime()
        remarks.append(f"held until {local(reservation.expire_time)}, {spelled(left)} from now")
    remarks.append(f"made {local(reservation.create_time)}, changed {local(reservation.update_time)}")
    remarks.append(f"ledger: {word(LedgerState, reservation.ledger_state)}")
    if reservation.compensation_reason:
        remarks.append(f"refused by the ledger: {word(CompensationReason, reservation.compensation_reason)}")
    if reservation.reference:
        remarks.append(f"reference: {reservation.reference}")
    if reservation.note:
        remarks.append(f"note: {reservation.note}")
    if replayed:
        remarks.append("a repeat: this was done before, and not done again")
    return remarks


def show_moved(response: Moved | GetReservationResponse) -> None:
    """A reservation that was read, or whose state was asked to change."""
    replayed = not isinstance(response, GetReservationResponse) and response.replayed
    show_reservation(response.reservation, response.read_time, replayed=replayed)


def show_outcome(response: ReserveResponse | ChangeReservationResponse) -> None:
    """A reservation or a rejection; a response with neither comes from a newer server and holds no more units."""
    if response.HasField("reservation"):
        show_reservation(response.reservation, response.read_time, replayed=response.replayed)
    else:
        show_rejection(response.rejection, response.read_time)


def show_rejection(rejection: Rejection, read_time: Timestamp) -> None:
    """Why no units were held, and whether a repeat may succeed."""
    show(word(RejectionReason, rejection.reason), "bold red")
    for short in rejection.shortages:
        show(f"  {short.sku}: {short.requested} asked, {short.available} left, {short.held} held")
    if rejection.reason in LIMITS:
        of_item = f" of {rejection.limited_sku}" if rejection.limited_sku else ""
        show(f"  the buyer may still take {rejection.buyer_remaining}{of_item}")
    if rejection.HasField("ended"):
        show_reservation(rejection.ended, read_time)
    if rejection.HasField("retry_after"):
        show(f"  may differ in {spelled(rejection.retry_after.ToTimedelta())}", "dim")


def show_changed_sale(response: ChangedSale) -> None:
    """A sale that was made or changed."""
    show_sale(response.sale, replayed=response.replayed)


def show_sale(sale: Sale, *, replayed: bool = False) -> None:
    """A sale's settings, and its stock as a table."""
    show_head(word(SaleState, sale.state), "bold", sale.sale_id, f"  {sale.title}" if sale.title else "")
    show(f"  from {local(sale.start_time)} {_until(sale)}; {_holds(sale)}; {_limits(sale)}", "dim")
    if sale.HasField("return_window"):
        show(f"  sold units come back until {spelled(sale.return_window.ToTimedelta())} after its end or close", "dim")
    if sale.paused and sale.state != SaleState.SALE_STATE_PAUSED:
        show("  paused: it sells only after it is resumed", "dim")
    if sale.etag:
        show(f"  etag {sale.etag}", "dim")
    if replayed:
        show("  a repeat: it was so before this call", "dim")
    screen.print(_stock(sale))


def show_adjustment(response: AdjustStockResponse) -> None:
    """A change of stock, and the item as it stands."""
    made, item = response.adjustment, response.item
    show_head("adjusted", "bold", made.adjustment_id, f"  item {made.sku} of sale {made.sale_id}: {made.delta:+,}")
    show(f"  {made.total_after:,} on sale then; now {item.total:,}, of which {item.available:,} are available")
    if response.replayed:
        show("  a repeat: this was done before, and not done again", "dim")


def _stock(sale: Sale) -> Table:
    table = Table("item", box=None, header_style="dim", padding=(0, 2))
    for account in ("available", "held", "sold", "total"):
        table.add_column(account, justify="right")
    for item in sale.items:
        counts = (item.available, item.held, item.sold, item.total)
        table.add_row(printable(item.sku), *(f"{count:,}" for count in counts))
    return table


def _until(sale: Sale) -> str:
    end = f"to {local(sale.end_time)}" if sale.HasField("end_time") else "until closed"
    return f"{end} (closed {local(sale.close_time)})" if sale.HasField("close_time") else end


def _holds(sale: Sale) -> str:
    hold_ttl, longest = sale.hold_ttl.ToTimedelta(), sale.max_hold_ttl.ToTimedelta()
    if not hold_ttl:
        return "no holds: every reserve is a purchase"
    return f"holds last {spelled(hold_ttl)}" + (f", at most {spelled(longest)}" if longest > hold_ttl else "")


def _limits(sale: Sale) -> str:
    limits = [f"at most {sale.buyer_limit:,} a buyer" if sale.buyer_limit else "no limit a buyer"]
    limits += [f"at most {item.buyer_limit:,} {item.sku} a buyer" for item in sale.items if item.buyer_limit]
    if sale.attempts_per_minute:
        limits.append(f"at most {sale.attempts_per_minute} attempts a minute")
    return ", ".join(limits)


def word(enum: EnumTypeWrapper, value: int) -> str:
    """`RESERVATION_STATE_HELD` as `held`; a value that is newer than this client as its number."""
    name = dict(zip(enum.values(), enum.keys(), strict=True)).get(value)
    prefix = enum.keys()[0].removesuffix("UNSPECIFIED")
    return f"unknown ({value})" if name is None else name.removeprefix(prefix).lower().replace("_", " ")


def local(time: Timestamp) -> str:
    """A time in the zone of this machine; as it came where that zone's calendar ends before it."""
    try:
        return datetime.fromtimestamp(time.ToMilliseconds() / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    except (OverflowError, ValueError):
        return time.ToJsonString()


def spelled(length: timedelta) -> str:
    """A length of time in its two largest units."""
    seconds = length.total_seconds()
    if seconds < 10:
        return f"{max(0.0, seconds):.3g} s"
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{int(count)} {unit}")
    return " ".join(parts[:2])
