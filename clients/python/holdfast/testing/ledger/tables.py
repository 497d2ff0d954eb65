"""What the ledger in memory has: rows as PostgreSQL has them, in dictionaries."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from holdfast.inventory.v1.inventory_admin_service_pb2 import DEAD_LETTER_STATE_OPEN
from inventory_service.domain.dead_letters import DeadLetter
from inventory_service.domain.keys import BuyerKey, Position, SaleKey
from inventory_service.domain.lists import BlockedBuyer, Watermark
from inventory_service.domain.reservation import Line, Reservation
from inventory_service.domain.sale import Settings
from inventory_service.domain.shard_state import StoredAdjustment
from inventory_service.domain.shards import CommitId

EXTERNAL, AVAILABLE, HELD_UNITS, SOLD_UNITS, REFUSED_UNITS = "external", "available", "held", "sold", "refused"
ACCOUNTS = (AVAILABLE, HELD_UNITS, SOLD_UNITS, REFUSED_UNITS)


class Entry(NamedTuple):
    """Units of an item that a change moved from one account to another."""

    commit: CommitId
    sku: str
    source: str
    target: str
    quantity: int


class SettingsRow(NamedTuple):
    """A sale's settings after a change of them."""

    settings: Settings
    changed: Position  # where the change stands
    time_ms: int  # when it was made


@dataclass
class SaleRow:
    """A sale, with its items and their transfers."""

    key: SaleKey
    create_time_ms: int
    fingerprint: str  # of the request that made it
    settings: SettingsRow
    changes: dict[Position, SettingsRow] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)  # SKU -> units of one buyer, 0: no limit; every item is here
    balances: dict[str, dict[str, int]] = field(default_factory=dict)  # SKU -> account -> units
    entries: list[Entry] = field(default_factory=list)
    adjustments: dict[str, StoredAdjustment] = field(default_factory=dict)
    has_left: bool = False  # the stock


class ReservationRow(NamedTuple):
    """A reservation, and the fingerprint of the Reserve that made it; '' if its id was spent."""

    reservation: Reservation  # its `ledger_state` is RECORDED or REFUSED
    fingerprint: str


@dataclass
class LetterRow:
    """The dead letter of an order, and the order after its latest change."""

    letter: DeadLetter
    latest: Reservation
    fingerprint: str
    outstanding: tuple[Line, ...]  # what the order holds or owns

    @property
    def is_open(self) -> bool:
        return self.letter.state == DEAD_LETTER_STATE_OPEN


@dataclass
class Tables:
    """Everything that the ledger has."""

    sales: dict[SaleKey, SaleRow] = field(default_factory=dict)
    reservations: dict[SaleKey, dict[str, ReservationRow]] = field(default_factory=dict)
    letters: dict[Position, LetterRow] = field(default_factory=dict)  # by where the order was made
    blocked: dict[BuyerKey, BlockedBuyer] = field(default_factory=dict)
    blocked_version: int = 0
    watermarks: dict[int, Watermark] = field(default_factory=dict)

    def row(self, sale: SaleKey, reservation_id: str) -> ReservationRow | None:
        """The reservation of an id."""
        return self.reservations.get(sale, {}).get(reservation_id)

    def letters_of(self, sale: SaleKey) -> Iterator[LetterRow]:
        """The dead letters of a sale, in no order."""
        return (row for row in self.letters.values() if row.letter.sale == sale)
