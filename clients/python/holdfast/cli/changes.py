"""What the messages of a watch say, as lines: only what differs from the messages before."""

from collections.abc import Iterator
from datetime import timedelta

from holdfast.cli.render import lines_text, local, spelled, word
from holdfast.inventory.v1.inventory_service_pb2 import WatchReservationResponse, WatchSaleResponse
from holdfast.inventory.v1.reservation_pb2 import LedgerState, ReservationState
from holdfast.inventory.v1.sale_pb2 import Item, SaleState

LAG_SHOWN = timedelta(seconds=1)  # a ledger that is less behind is as usual


class SaleChanges:
    """A line for the sale's state, one for its settings, and one for each item, whenever they have changed.

    A watch that was begun again sends everything again, and a heartbeat has nothing new: neither makes a line.
    """

    def __init__(self) -> None:
        self._state: int | None = None
        self._etag = ""
        self._items: dict[str, Item] = {}

    def lines(self, message: WatchSaleResponse) -> Iterator[str]:
        """The lines of one message."""
        sale, lag = message.sale, message.ledger_lag.ToTimedelta()
        behind = f"  (the ledger is {spelled(lag)} behind)" if lag >= LAG_SHOWN else ""
        for text in (*self._of_the_sale(message), *self._of_items(message)):
            yield f"{local(message.read_time)}  {text}{behind}"
        self._state, self._etag = sale.state, sale.etag
        self._items.update({item.sku: item for item in sale.items})

    def _of_the_sale(self, message: WatchSaleResponse) -> Iterator[str]:
        sale = message.sale
        if sale.state != self._state:
            yield f"{word(SaleState, sale.state)}  {sale.sale_id}{_until(message)}"
        elif sale.etag != self._etag:
            yield f"settings changed  {sale.sale_id}{_until(message)}  etag {sale.etag}"

    def _of_items(self, message: WatchSaleResponse) -> Iterator[str]:
        for item in message.sale.items:
            if item != self._items.get(item.sku):
                counts = f"{item.available:,} available, {item.held:,} held, {item.sold:,} sold, {item.total:,} in all"
                yield f"{item.sku}  {counts}"


class ReservationChanges:
    """A line whenever the reservation, or what the ledger says of it, has changed."""

    def __init__(self) -> None:
        self._last: tuple[int, int, int] | None = None

    def lines(self, message: WatchReservationResponse) -> Iterator[str]:
        """The line of one message, if it has one."""
        one = message.reservation
        seen = (one.revision, one.state, one.ledger_state)
        if seen == self._last:
            return
        self._last = seen
        is_held = one.state == ReservationState.RESERVATION_STATE_HELD
        until = f", held until {local(one.expire_time)}" if is_held else ""
        ledger = f"ledger: {word(LedgerState, one.ledger_state)}"
        state = word(ReservationState, one.state)
        yield f"{local(message.read_time)}  {state}  {one.reservation_id}  {lines_text(one)}{until}; {ledger}"


def _until(message: WatchSaleResponse) -> str:
    """How long until the next moment of the sale, if it has one."""
    if message.HasField("until_start"):
        return f", starts in {spelled(message.until_start.ToTimedelta())}"
    if message.HasField("until_end"):
        return f", ends in {spelled(message.until_end.ToTimedelta())}"
    return ""
