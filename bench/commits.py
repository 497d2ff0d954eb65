"""Makes commits as the scripts do: payloads, seqs without gaps, and the hash chain."""

from dataclasses import dataclass, field
from hashlib import sha1

from holdfast.inventory.v1.commit_pb2 import Claim, CommitBody, Event, ReservationChange, SaleMade
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
        seq = self.seq + 1
        events = []
        for index, (reservation_id, state) in enumerate(moves):
            before = self.known.get(reservation_id)
            if before is None:
                claim = Claim(
                    tenant=TENANT,
                    sale_id=sale_id,
                    reservation_id=reservation_id,
                    buyer_id=buyer,
                    lines=[Line(sku=sku, quantity=quantity) for sku, quantity in (lines or {"lamp": 1}).items()],
                    reference=reference,
                )
                before = KnownReservation(claim, 0, 0, (self.epoch, seq, index), self.time_ms + 1)
            after = KnownReservation(before.claim, state, before.revision + 1, before.created, before.create_time_ms)
            self.known[reservation_id] = after
            events.append(Event(reservation=change(before, after)))
        return self.commit(*events)

    def spend(self, reservation_id: str, sale_id: str = SALE) -> MadeCommit:
        """A commit that ends an id which never had units."""
        claim = Claim(tenant=TENANT, sale_id=sale_id, reservation_id=reservation_id)
        before = KnownReservation(claim, 0, 0, (self.epoch, self.seq + 1, 0), self.time_ms + 1)
        self.known[reservation_id] = KnownReservation(claim, RELEASED, 1, before.created, before.create_time_ms)
        return self.commit(Event(reservation=change(before, self.known[reservation_id])))

    def archive(self, reservation_id: str) -> None:
        """Remove a reservation from the shard, so that its id may be reused."""
        del self.known[reservation_id]

    def next_epoch(self) -> None:
        """Begin a new epoch on the same chain, as a take-over does."""
        self.epoch, self.seq = self.epoch + 1, 0

    def run(self, first: int = 0, last: int | None = None) -> bytes:
        """A record of a slice of the commits, all of one epoch."""
        return record(self.shard, self.commits[first:last])


def change(before: KnownReservation, after: KnownReservation) -> ReservationChange:
    epoch, seq, index = after.created
    return ReservationChange(
        claim=after.claim,
        previous_state=before.state,  # type: ignore[arg-type]
        state=after.state,  # type: ignore[arg-type]
        revision=after.revision,
        create_time_ms=after.create_time_ms,
        expire_time_ms=after.create_time_ms + HOLD_MS,
        created_epoch=epoch,
        created_seq=seq,
        created_index=index,
        compensation_reason=BUYER_BLOCKED if after.state == COMPENSATED else 0,  # type: ignore[arg-type]
    )


def record(shard: int, commits: list[MadeCommit]) -> bytes:
    """The value of a Kafka record that holds these commits."""
    return CommitRun(
        shard=shard,
        epoch=commits[0].epoch,
        first_seq=commits[0].seq,
        commits=[Commit(payload=made.payload, hash=made.hash.encode()) for made in commits],
    ).SerializeToString()
