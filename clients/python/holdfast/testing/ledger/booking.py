"""Books one commit after the other, as the order persister does: rows, balances and dead letters."""

from collections.abc import Callable, Sequence

from holdfast.inventory.v1.inventory_admin_service_pb2 import DEAD_LETTER_STATE_OPEN, DEAD_LETTER_STATE_SETTLED
from holdfast.inventory.v1.reservation_pb2 import LEDGER_STATE_RECORDED, LEDGER_STATE_REFUSED
from holdfast.testing.ledger.refusals import Refusal, Refusals
from holdfast.testing.ledger.sales import SaleBooking
from holdfast.testing.ledger.tables import Entry, LetterRow, ReservationRow, Tables
from holdfast.testing.ledger.transfers import (
    RECORDED,
    REFUSED_AT_CONFIRM,
    REFUSED_AT_CREATION,
    OrderAccounts,
    owned_units,
    transfers_of,
)
from inventory_service.domain.dead_letters import DeadLetter
from inventory_service.domain.events import CommitBody, ReservationChange
from inventory_service.domain.fingerprints import reserve_fingerprint
from inventory_service.domain.keys import Position
from inventory_service.domain.lists import Watermark
from inventory_service.domain.moves import Compensate
from inventory_service.domain.reservation import COMPENSATED, CONFIRMED, HELD, NEW, Line, Reservation
from inventory_service.domain.shards import CommitId


class Booking:
    """Applies commits to the tables, each once and in order."""

    def __init__(self, tables: Tables, refusals: Refusals, now_ms: Callable[[], int]) -> None:
        self._tables = tables
        self._refusals = refusals
        self._now_ms = now_ms
        self._sales = SaleBooking(tables)

    def apply(self, shard: int, epoch: int, commit: CommitBody) -> Sequence[Compensate]:
        """Book a commit; the compensations of the orders that it refused."""
        compensations: list[Compensate] = []
        for index, event in enumerate(commit.events):
            if isinstance(event, ReservationChange):
                compensations += self._book(event, commit.time_ms)
            else:
                self._sales.book(event, Position(shard, epoch, commit.seq, index), commit.time_ms)
        self._tables.watermarks[shard] = Watermark(CommitId(epoch, commit.seq), commit.time_ms)
        return compensations

    def _book(self, change: ReservationChange, time_ms: int) -> Sequence[Compensate]:
        order = change.reservation
        letter = self._tables.letters.get(order.created)
        if letter is not None and letter.is_open:
            self._book_refused(change, letter)
            return []
        refusal = self._refusals.judge(change, time_ms)
        if refusal is None:
            state = LEDGER_STATE_REFUSED if order.state == COMPENSATED else LEDGER_STATE_RECORDED
            self._write_row(order._replace(ledger_state=int(state)), _fingerprint(change))
            self._transfer(change, RECORDED)
            return []
        return self._refuse(change, refusal)

    def _refuse(self, change: ReservationChange, refusal: Refusal) -> Sequence[Compensate]:
        """Refuse an order: a new one has no row before it ends, one that is confirmed keeps its row until then."""
        order = change.reservation
        is_new, has_ended = change.previous_state == NEW, order.state not in (HELD, CONFIRMED)
        if not is_new:
            self._mark_refused(order, refusal)
        self._transfer(change, REFUSED_AT_CREATION if is_new else REFUSED_AT_CONFIRM)
        self._tables.letters[order.created] = LetterRow(
            _letter(change, refusal, self._now_ms()), order, _fingerprint(change), _outstanding(order)
        )
        if has_ended:
            return []
        return [Compensate(order.sale, order.reservation_id, order.created, refusal.reason, refusal.detail)]

    def _book_refused(self, change: ReservationChange, row: LetterRow) -> None:
        """Book a change of an order that was refused before."""
        order, at_creation = change.reservation, row.letter.position == row.letter.created
        self._transfer(change, REFUSED_AT_CREATION if at_creation else REFUSED_AT_CONFIRM)
        if order.state not in (HELD, CONFIRMED):
            refused = order._replace(ledger_state=int(LEDGER_STATE_REFUSED), compensation_reason=row.letter.reason)
            if not at_creation or self._tables.row(order.sale, order.reservation_id) is None:
                self._write_row(refused, row.fingerprint)
        row.letter = _after(row.letter, change)
        row.latest, row.outstanding = order, _outstanding(order)

    def _mark_refused(self, order: Reservation, refusal: Refusal) -> None:
        row = self._tables.reservations[order.sale][order.reservation_id]
        marked = row.reservation._replace(ledger_state=int(LEDGER_STATE_REFUSED), compensation_reason=refusal.reason)
        self._write_row(marked, row.fingerprint)

    def _write_row(self, order: Reservation, fingerprint: str) -> None:
        rows = self._tables.reservations.setdefault(order.sale, {})
        rows[order.reservation_id] = ReservationRow(order, fingerprint)

    def _transfer(self, change: ReservationChange, accounts: OrderAccounts) -> None:
        position = change.reservation.position
        for transfer in transfers_of(change, accounts):
            entry = Entry(CommitId(position.epoch, position.seq), *transfer)
            self._sales.add(change.reservation.sale, entry)


def _fingerprint(change: ReservationChange) -> str:
    order = change.reservation
    if not order.buyer_id:
        return ""
    return reserve_fingerprint(order.buyer_id, change.asked_hold_ms or None, change.asked, order.reference)


def _outstanding(order: Reservation) -> tuple[Line, ...]:
    return tuple(Line(*owned) for owned in owned_units(order.lines, order.state))


def _letter(change: ReservationChange, refusal: Refusal, now_ms: int) -> DeadLetter:
    order = change.reservation
    letter = DeadLetter(
        created=order.created,
        sale=order.sale,
        reservation_id=order.reservation_id,
        buyer_id=order.buyer_id,
        lines=(),
        reason=refusal.reason,
        detail=refusal.detail,
        position=order.position,
        create_time_ms=now_ms,
        state=int(DEAD_LETTER_STATE_OPEN),
        replayed_as="",
        reservation_state=order.state,
        sold=(),
    )
    return _after(letter, change)


def _after(letter: DeadLetter, change: ReservationChange) -> DeadLetter:
    """A dead letter after a change of its order; it is open while the order has units."""
    order = change.reservation
    was_sold = order.state == COMPENSATED and change.previous_state == CONFIRMED
    is_open = order.state in (HELD, CONFIRMED)
    return letter._replace(
        lines=tuple(Line(units.sku, units.claimed) for units in order.lines if units.claimed),
        state=int(DEAD_LETTER_STATE_OPEN if is_open else DEAD_LETTER_STATE_SETTLED),
        reservation_state=order.state,
        sold=tuple(Line(*owned) for owned in owned_units(change.before, change.previous_state)) if was_sold else (),
    )
