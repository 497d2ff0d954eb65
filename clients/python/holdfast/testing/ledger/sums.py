"""What entries, orders and dead letters of the ledger in memory add up to, by item."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from holdfast.inventory.v1.reservation_pb2 import LEDGER_STATE_RECORDED
from holdfast.testing.ledger.tables import ACCOUNTS, EXTERNAL, LetterRow, SaleRow
from inventory_service.domain.reservation import Reservation
from inventory_service.domain.shards import CommitId
from inventory_service.domain.units import held_and_sold


def entry_sums(sale: SaleRow, commit: CommitId) -> dict[str, dict[str, int]]:
    """The balances of each item after a commit, that of the world around the sale among them."""
    sums = {sku: dict.fromkeys((*ACCOUNTS, EXTERNAL), 0) for sku in sale.limits}
    for entry in sale.entries:
        if entry.commit <= commit:
            sums[entry.sku][entry.source] -= entry.quantity
            sums[entry.sku][entry.target] += entry.quantity
    return sums


def order_sums(orders: Iterable[Reservation]) -> tuple[Counter[str], Counter[str]]:
    """What the recorded orders hold and what they own."""
    held: Counter[str] = Counter()
    sold: Counter[str] = Counter()
    for order in orders:
        if order.ledger_state == LEDGER_STATE_RECORDED:
            for units in order.lines:
                more_held, more_sold = held_and_sold(units, order.state)
                held[units.sku] += more_held
                sold[units.sku] += more_sold
    return held, sold


def letter_sums(letters: Iterable[LetterRow]) -> defaultdict[str, int]:
    """What the orders of open dead letters hold and own."""
    refused: defaultdict[str, int] = defaultdict(int)
    for row in letters:
        if row.is_open:
            for sku, quantity in row.outstanding:
                refused[sku] += quantity
    return refused
