"""Makes commits as the scripts do: payloads, seqs without gaps, and the hash chain."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha1

from holdfast.inventory.v1.commit_pb2 import Claim, CommitBody, Event, ReservationChange, SaleMade, Units
from holdfast.inventory.v1.events_pb2 import Commit, CommitRun
from holdfast.inventory.v1.reservation_pb2 import CompensationReason, Line, ReservationState
from holdfast.inventory.v1.sale_pb2 import Item, Sale

TENANT = "default"
SALE = "lamp-sale"
HELD = ReservationState.RESERVATION_STATE_HELD
CONFIRMED = ReservationState.RESERVATION_STATE_CONFIRMED
RELEASED = ReservationState.RESERVATION_STATE_RELEASED
EXPIRED = ReservationState.RESERVATION_STATE_EXPIRED
COMPENSATED = ReservationState.RESERVATION_STATE_COMPENSATED
RETURNED = ReservationState.RESERVATION_STATE_RETURNED

BUYER_BLOCKED = CompensationReason.COMPENSATION_REASON_BUYER_BLOCKED

Counts = dict[str, tuple[int, int, int]]  # by SKU: units claimed, of these sold, of those come back

START_MS, HOLD_MS = 1_700_000_000_000, 600_000


@dataclass
class MadeCommit:
    """A commit of a fake shard."""

    epoch: int
    seq: int
    payload: bytes
    hash: str


@dataclass
class KnownReservation:
    """A reservation that the fake shard has."""

    claim: Claim
    state: int
    revision: int
    created: tuple[int, int, int]
    create_time_ms: int
    counts: Counts = field(default_factory=dict)
    expire_time_ms: int = 0

    def counts_after(self, state: int) -> Counts:
        """How it stands with each SKU if it moves to a state as a whole."""
        if state == HELD:
            return self.counts
        if state == CONFIRMED:
            return {sku: (claimed, claimed, 0) for sku, (claimed, _, _) in self.counts.items()}
        if state == RETURNED:
            return {sku: (claimed, sold, sold) for sku, (claimed, sold, _) in self.counts.items()}
        return {sku: (claimed, 0, 0) for sku, (claimed, _, _) in self.counts.items()}

    def owned(self) -> dict[str, int]:
        """The units that it holds or owns."""
        held, sold = self.state == HELD, self.state == CONFIRMED
        return {sku: claimed * held + (sale - back) * sold for sku, (claimed, sale, back) in self.counts.items()}


@dataclass
class FakeShard:
    """The commits of one shard's Redis, without its checks: every change is accepted."""

    shard: int = 0
    epoch: int = 1
    seq: int = 0
    hash: str = ""
    time_ms: int = START_MS
    commits: list[MadeCommit] = field(default_factory=list)
    known: dict[str, KnownReservation] = field(default_factory=dict)

    def commit(self, *events: Event) -> MadeCommit:
        """One commit of these events."""
        self.seq += 1
        self.time_ms += 1
        payload = CommitBody(time_ms=self.time_ms, events=events).SerializeToString()
        return self.append(payload)

    def append(self, payload: bytes) -> MadeCommit:
        """Append any bytes to the chain; the caller has raised `seq`."""
        self.hash = sha1(self.hash.encode() + payload, usedforsecurity=False).hexdigest()
        made = MadeCommit(self.epoch, self.seq, payload, self.hash)
        self.commits.append(made)
        return made

    def open_sale(self, sale_id: str = SALE, **items: int) -> MadeCommit:
        """A sale with these items."""
        sale = Sale(sale_id=sale_id, title="Lamps", items=[Item(sku=sku, total=total) for sku, total in items.items()])
        sale.hold_ttl.FromMilliseconds(HOLD_MS)
        return self.commit(Event(sale_made=SaleMade(tenant=TENANT, sale=sale, start_time_ms=self.time_ms)))

    def moves(
        self, *moves: tuple[str, int], buyer: str = "b-1", sale_id: str = SALE, reference: str = "", **lines: int
    ) -> MadeCommit:
        """One commit that creates or changes several reservations: (id, new state)."""
        events = []
        for index, (reservation_id, state) in enumerate(moves):
            if reservation_id not in self.known:
                self.claim(reservation_id, index, lines or {"lamp": 1}, buyer, sale_id, reference)
            events.append(self.changed(reservation_id, state))
        return self.commit(*events)

    def move(
        self, reservation_id: str, state: int, *, discarded: bool = False, **counts: tuple[int, int, int]
    ) -> MadeCommit:
        """One commit that changes a reservation, which then stands so with each SKU."""
        return self.commit(self.changed(reservation_id, state, counts, discarded=discarded))

    def spend(self, reservation_id: str, sale_id: str = SALE) -> MadeCommit:
        """A commit that ends an id which never had units."""
        self.claim(reservation_id, 0, {}, "", sale_id)
        return self.commit(self.changed(reservation_id, RELEASED))

    def claim(
        self,
        reservation_id: str,
        index: int,
        lines: Mapping[str, int],
        buyer: str,
        sale_id: str = SALE,
        reference: str = "",
        asked_hold_ms: int = 0,
    ) -> None:
        """Know a reservation that the next commit will make, by its event of this index."""
        claim = Claim(
            tenant=TENANT,
            sale_id=sale_id,
            reservation_id=reservation_id,
            buyer_id=buyer,
            lines=[Line(sku=sku, quantity=quantity) for sku, quantity in lines.items()],
            reference=reference,
            asked_hold_ms=asked_hold_ms,
        )
        counts = {sku: (quantity, 0, 0) for sku, quantity in lines.items()}
        created, time_ms = (self.epoch, self.seq + 1, index), self.time_ms + 1
        self.known[reservation_id] = KnownReservation(claim, 0, 0, created, time_ms, counts, time_ms + HOLD_MS)

    def changed(
        self,
        reservation_id: str,
        state: int,
        counts: Counts | None = None,
        *,
        discarded: bool = False,
        extended_ms: int = 0,
    ) -> Event:
        """The event of a change of a reservation, to be committed next; without `counts` of a whole one."""
        before = self.known[reservation_id]
        after = self.known[reservation_id] = replace(
            before,
            state=state,
            revision=before.revision + 1,
            counts=counts or before.counts_after(state),
            expire_time_ms=before.expire_time_ms + extended_ms,
        )
        return Event(reservation=change(before, after, discarded))

    def archive(self, reservation_id: str) -> None:
        """Remove a reservation from the shard, so that its id may be reused."""
        del self.known[reservation_id]

    def next_epoch(self) -> None:
        """Begin a new epoch on the same chain, as a take-over does."""
        self.epoch, self.seq = self.epoch + 1, 0

    def run(self, first: int = 0, last: int | None = None) -> bytes:
        """A record of a slice of the commits, all of one epoch."""
        return record(self.shard, self.commits[first:last])


def change(before: KnownReservation, after: KnownReservation, discarded: bool = False) -> ReservationChange:
    """The change between two states of a reservation."""
    epoch, seq, index = after.created
    made = ReservationChange(
        claim=after.claim,
        previous_state=before.state,  # type: ignore[arg-type]
        state=after.state,  # type: ignore[arg-type]
        revision=after.revision,
        create_time_ms=after.create_time_ms,
        expire_time_ms=after.expire_time_ms,
        created_epoch=epoch,
        created_seq=seq,
        created_index=index,
        compensation_reason=BUYER_BLOCKED if after.state == COMPENSATED else 0,  # type: ignore[arg-type]
        discarded=discarded,
    )
    if not (_is_implied(before) and _is_implied(after)):
        made.before.extend(_units(before))
        made.after.extend(_units(after))
    return made


def _is_implied(reservation: KnownReservation) -> bool:
    """Whether its claim and its state say how it stands with each SKU."""
    is_sold, is_back = reservation.state in (CONFIRMED, RETURNED), reservation.state == RETURNED
    claimed = ((line.sku, line.quantity) for line in reservation.claim.lines)
    return reservation.counts == {sku: (units, units * is_sold, units * is_back) for sku, units in claimed}


def _units(reservation: KnownReservation) -> list[Units]:
    return [
        Units(sku=sku, claimed=claimed, sold=sold, came_back=came_back)
        for sku, (claimed, sold, came_back) in sorted(reservation.counts.items())
    ]


def record(shard: int, commits: list[MadeCommit]) -> bytes:
    """The value of a Kafka record that holds these commits."""
    return CommitRun(
        shard=shard,
        epoch=commits[0].epoch,
        first_seq=commits[0].seq,
        commits=[Commit(payload=made.payload, hash=made.hash.encode()) for made in commits],
    ).SerializeToString()
