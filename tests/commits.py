"""Makes commits as the scripts would: payloads, dense seqs and the hash chain, for tests of their readers."""

from dataclasses import dataclass, field
from hashlib import sha1

from holdfast.inventory.v1.commit_pb2 import Claim, CommitBody, Event, ReservationChange, SaleMade
from holdfast.inventory.v1.events_pb2 import Commit, CommitRun
from holdfast.inventory.v1.reservation_pb2 import Line, ReservationState
from holdfast.inventory.v1.sale_pb2 import Item, Sale

TENANT = "default"
SALE = "lamp-sale"
HELD = ReservationState.RESERVATION_STATE_HELD
CONFIRMED = ReservationState.RESERVATION_STATE_CONFIRMED
RELEASED = ReservationState.RESERVATION_STATE_RELEASED
EXPIRED = ReservationState.RESERVATION_STATE_EXPIRED
COMPENSATED = ReservationState.RESERVATION_STATE_COMPENSATED
RETURNED = ReservationState.RESERVATION_STATE_RETURNED

START_MS = 1_700_000_000_000


@dataclass
class Made:
    """A commit that was made."""

    epoch: int
    seq: int
    payload: bytes
    hash: str


@dataclass
class Known:
    """What Redis remembers of a reservation."""

    claim: Claim
    state: int
    revision: int
    created: tuple[int, int, int]
    create_time_ms: int


@dataclass
class FakeShard:
    """One shard's Redis, as far as its commits go: it believes whatever it is told to do."""

    shard: int = 0
    epoch: int = 1
    seq: int = 0
    hash: str = ""
    time_ms: int = START_MS
    commits: list[Made] = field(default_factory=list)
    known: dict[str, Known] = field(default_factory=dict)

    def commit(self, *events: Event) -> Made:
        """One commit of these events."""
        self.seq += 1
        self.time_ms += 1
        payload = CommitBody(time_ms=self.time_ms, events=events).SerializeToString()
        return self.append(payload)

    def append(self, payload: bytes) -> Made:
        """Chain any bytes on; `commit` has counted them already."""
        self.hash = sha1(self.hash.encode() + payload, usedforsecurity=False).hexdigest()
        made = Made(self.epoch, self.seq, payload, self.hash)
        self.commits.append(made)
        return made

    def open_sale(self, sale_id: str = SALE, **items: int) -> Made:
        """A sale with these items."""
        sale = Sale(sale_id=sale_id, title="Lamps", items=[Item(sku=sku, total=total) for sku, total in items.items()])
        sale.hold_ttl.FromSeconds(600)
        return self.commit(Event(sale_made=SaleMade(tenant=TENANT, sale=sale, start_time_ms=self.time_ms)))

    def moves(self, *moves: tuple[str, int], buyer: str = "b-1", sale_id: str = SALE, **lines: int) -> Made:
        """One commit that makes or moves several reservations: (id, new state)."""
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
                )
                before = Known(claim, 0, 0, (self.epoch, seq, index), self.time_ms + 1)
            after = Known(before.claim, state, before.revision + 1, before.created, before.create_time_ms)
            self.known[reservation_id] = after
            events.append(Event(reservation=change(before, after)))
        return self.commit(*events)

    def spend(self, reservation_id: str, sale_id: str = SALE) -> Made:
        """An id that is ended before it held anything."""
        claim = Claim(tenant=TENANT, sale_id=sale_id, reservation_id=reservation_id)
        before = Known(claim, 0, 0, (self.epoch, self.seq + 1, 0), self.time_ms + 1)
        self.known[reservation_id] = Known(claim, RELEASED, 1, before.created, before.create_time_ms)
        return self.commit(Event(reservation=change(before, self.known[reservation_id])))

    def forget(self, reservation_id: str) -> None:
        """Its record leaves Redis."""
        del self.known[reservation_id]

    def next_epoch(self) -> None:
        """A take-over that adopts."""
        self.epoch, self.seq = self.epoch + 1, 0

    def run(self, first: int = 0, last: int | None = None) -> bytes:
        """A record of a slice of the commits, all of one epoch."""
        return record(self.shard, self.commits[first:last])


def change(before: Known, after: Known) -> ReservationChange:
    epoch, seq, index = after.created
    return ReservationChange(
        claim=after.claim,
        previous_state=before.state,  # type: ignore[arg-type]
        state=after.state,  # type: ignore[arg-type]
        revision=after.revision,
        create_time_ms=after.create_time_ms,
        expire_time_ms=after.create_time_ms + 600_000,
        created_epoch=epoch,
        created_seq=seq,
        created_index=index,
    )


def record(shard: int, commits: list[Made]) -> bytes:
    """The value of a Kafka record that holds these commits."""
    return CommitRun(
        shard=shard,
        epoch=commits[0].epoch,
        first_seq=commits[0].seq,
        commits=[Commit(payload=made.payload, hash=made.hash.encode()) for made in commits],
    ).SerializeToString()
