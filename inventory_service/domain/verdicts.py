"""What the rule can answer: an answer carries units or says why not, a refusal says why nothing could be judged."""

from typing import NamedTuple

from inventory_service.domain.requests import Line, Position, SaleKey


class Reservation(NamedTuple):
    """A reservation as it stands at the moment of reading."""

    sale: SaleKey
    reservation_id: str
    buyer_id: str
    lines: tuple[Line, ...]
    state: int  # a ReservationState; an overdue hold is EXPIRED
    revision: int
    create_time_ms: int
    update_time_ms: int
    expire_time_ms: int  # 0: never held
    created: Position  # where it was made: its identity for every later hop
    position: Position  # where the latest change stands
    ledger_state: int  # a LedgerState
    compensation_reason: int  # a CompensationReason; 0 unless COMPENSATED
    note: str


class Granted(NamedTuple):
    """The request was met, now or by the call that it repeats."""

    reservation: Reservation
    replayed: bool
    read_time_ms: int


class Shortage(NamedTuple):
    """A line that could not be filled."""

    sku: str
    requested: int
    available: int
    held: int


class Rejected(NamedTuple):
    """An answer: no units, and why."""

    reason: int  # a RejectionReason
    as_of: Position  # index 0
    read_time_ms: int
    shortages: tuple[Shortage, ...] = ()
    buyer_remaining: int = 0
    retry_after_ms: int | None = None
    ended: Reservation | None = None  # for RESERVATION_ENDED
    replayed: bool = False  # for RESERVATION_ENDED, unless the id was spent


class Failure(NamedTuple):
    """The request could not be judged; nothing was done, unless the reason is OUTCOME_UNKNOWN."""

    reason: int  # an ErrorReason
    metadata: dict[str, str] = {}  # noqa: RUF012  (never mutated)
    reservation: Reservation | None = None  # for FAILED_PRECONDITION


ReserveResult = Granted | Rejected | Failure  # what a Reserve comes to


class Item(NamedTuple):
    """The stock of one item; `total` is the sum of the others today."""

    sku: str
    total: int
    available: int
    held: int
    sold: int


class Sale(NamedTuple):
    """A sale as it stands at the moment of reading."""

    sale: SaleKey
    title: str
    start_time_ms: int
    end_time_ms: int | None
    hold_ttl_ms: int
    max_hold_ttl_ms: int
    buyer_limit: int
    state: int  # a SaleState, by the shard's clock
    items: tuple[Item, ...]  # sorted by SKU
    etag: str
    create_time_ms: int
    update_time_ms: int


class SaleFound(NamedTuple):
    """A sale, read or made."""

    sale: Sale
    as_of: Position  # the last commit that is in it; index 0
    read_time_ms: int
    replayed: bool = False


class SaleUnknown(NamedTuple):
    """There is no such sale in the store, so the ledger must be asked before it is made."""

    mark: str  # changes as soon as any sale leaves the shard


class Found(NamedTuple):
    """A reservation, read."""

    reservation: Reservation
    read_time_ms: int


class ArchiveStep(NamedTuple):
    """One step of a walk over a sale's records."""

    cursor: int  # where the next step begins; 0: the walk is over
    dropped: int  # how many records
    sale_left: bool  # the sale too, after its last record
    wait_ms: int  # nothing that this step looked at can leave before


class TakenBack(NamedTuple):
    """What one call of a sweep over overdue holds did."""

    holds: int
    more_is_due: bool  # it took back as many as one call may, or looked at as many sales


class Holds(NamedTuple):
    """How many holds a shard has."""

    open: int  # they stand
    overdue: int  # their end has come, and they were not taken back yet
