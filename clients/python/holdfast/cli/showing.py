"""Answers in a person's words: what a reservation, a rejection and a sale look like on a terminal."""

from datetime import datetime, timedelta

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdfast.inventory.v1.reservation_pb2 import (
    CompensationReason,
    LedgerState,
    Rejection,
    RejectionReason,
    Reservation,
    ReservationState,
)
from holdfast.inventory.v1.sale_pb2 import Sale, SaleState

# Ids are never wrapped nor coloured by guess: a person copies them.
screen = Console(soft_wrap=True, highlight=False, markup=False)

STATE_STYLES = {
    ReservationState.RESERVATION_STATE_HELD: "bold yellow",
    ReservationState.RESERVATION_STATE_CONFIRMED: "bold green",
}


def show_reservation(reservation: Reservation, read_time: Timestamp, *, replayed: bool = False) -> None:
    """One reservation, in a few lines."""
    state = word(ReservationState, reservation.state)
    head = Text(state, style=STATE_STYLES.get(reservation.state, "bold red"))
    head.append(f"  {reservation.reservation_id}", style="bold")
    head.append(f"  sale {reservation.sale_id}")
    if reservation.buyer_id:
        head.append(f", buyer {reservation.buyer_id}")
    screen.print(head)
    for line in reservation.lines:
        screen.print(f"  {line.quantity} {line.sku}")
    for remark in _remarks(reservation, read_time, replayed):
        screen.print(f"  {remark}", style="dim")


def _remarks(reservation: Reservation, read_time: Timestamp, replayed: bool) -> list[str]:
    remarks = []
    if reservation.state == ReservationState.RESERVATION_STATE_HELD:
        left = reservation.expire_time.ToDatetime() - read_time.ToDatetime()
        remarks.append(f"stands until {local(reservation.expire_time)}, {spelled(left)} from now")
    remarks.append(f"made {local(reservation.create_time)}, changed {local(reservation.update_time)}")
    remarks.append(f"ledger: {word(LedgerState, reservation.ledger_state)}")
    if reservation.compensation_reason:
        remarks.append(f"refused by the ledger: {word(CompensationReason, reservation.compensation_reason)}")
    if reservation.note:
        remarks.append(f"note: {reservation.note}")
    if replayed:
        remarks.append("this had been done before; nothing was done twice")
    return remarks


def show_rejection(rejection: Rejection, read_time: Timestamp) -> None:
    """Why there are no units, and whether asking again may help."""
    screen.print(word(RejectionReason, rejection.reason), style="bold red")
    for short in rejection.shortages:
        screen.print(f"  {short.sku}: {short.requested} asked, {short.available} left, {short.held} held by others")
    if rejection.reason == RejectionReason.REJECTION_REASON_BUYER_LIMIT:
        screen.print(f"  the buyer may still take {rejection.buyer_remaining}")
    if rejection.HasField("ended"):
        show_reservation(rejection.ended, read_time)
    if rejection.HasField("retry_after"):
        screen.print(f"  may differ in {spelled(rejection.retry_after.ToTimedelta())}", style="dim")


def show_sale(sale: Sale, *, replayed: bool = False) -> None:
    """A sale's settings, and its stock as a table."""
    head = Text(word(SaleState, sale.state), style="bold")
    head.append(f"  {sale.sale_id}", style="bold")
    head.append(f"  {sale.title}" if sale.title else "")
    screen.print(head)
    screen.print(f"  from {local(sale.start_time)} {_until(sale)}; {_holds(sale)}; {_limit(sale)}", style="dim")
    if replayed:
        screen.print("  this had been made before; nothing was done twice", style="dim")
    screen.print(_stock(sale))


def _stock(sale: Sale) -> Table:
    table = Table("item", box=None, header_style="dim", padding=(0, 2))
    for account in ("available", "held", "sold", "total"):
        table.add_column(account, justify="right")
    for item in sale.items:
        table.add_row(item.sku, *(f"{count:,}" for count in (item.available, item.held, item.sold, item.total)))
    return table


def _until(sale: Sale) -> str:
    return f"to {local(sale.end_time)}" if sale.HasField("end_time") else "until closed"


def _holds(sale: Sale) -> str:
    hold_ttl = sale.hold_ttl.ToTimedelta()
    return f"holds last {spelled(hold_ttl)}" if hold_ttl else "no holds: every reserve is a purchase"


def _limit(sale: Sale) -> str:
    return f"at most {sale.buyer_limit} a buyer" if sale.buyer_limit else "no limit a buyer"


def word(enum: EnumTypeWrapper, value: int) -> str:
    """`RESERVATION_STATE_HELD` as `held`; a value that is newer than this client as its number."""
    name = dict(zip(enum.values(), enum.keys(), strict=True)).get(value)
    prefix = enum.keys()[0].removesuffix("UNSPECIFIED")
    return f"unknown ({value})" if name is None else name.removeprefix(prefix).lower().replace("_", " ")


def local(time: Timestamp) -> str:
    """A moment on the reader's own clock."""
    return datetime.fromtimestamp(time.ToMilliseconds() / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def spelled(length: timedelta) -> str:
    """A length of time as a person says it, in its two largest units."""
    seconds = length.total_seconds()
    if seconds < 10:
        return f"{max(0.0, seconds):.3g} s"
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{int(count)} {unit}")
    return " ".join(parts[:2])
