"""Random rows of everything that is listed, and plain models of what a list of them must be."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

from holdfast_runtime.postgres import Session

START = datetime(2026, 1, 1, tzinfo=UTC)
SHARDS = 2
TENANTS = ("acme", "zenith")
# In the order of the collation "C"; by that of a language "b-1" and "B-1" are neighbours, and so are "a.1" and "a1".
IDS = ("A-1", "B-1", "a.1", "a1", "b-1")
STATES = ("HELD", "HELD", "HELD", "CONFIRMED", "RELEASED", "EXPIRED", "COMPENSATED", "RETURNED")
_TICKS = 12  # of 10 ms: rows are made at so few moments that many are of the same one


class StoredSale(NamedTuple):
    """A row of `sale`: the columns by which lists differ."""

    tenant: str
    sale_id: str
    create_time: datetime
    start_time: datetime
    end_time: datetime | None
    close_time: datetime | None
    release_time: datetime | None
    left_time: datetime | None
    paused: bool
    shard: int


class StoredReservation(NamedTuple):
    """A row of `reservation`, likewise."""

    tenant: str
    sale_id: str
    reservation_id: str
    buyer_id: str
    reference: str
    state: str
    create_time: datetime
    expire_time: datetime | None
    shard: int


class StoredAdjustment(NamedTuple):
    """A row of `adjustment`, likewise."""

    tenant: str
    sale_id: str
    adjustment_id: str
    sku: str
    create_time: datetime
    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name


class StoredDeadLetter(NamedTuple):
    """A row of `dead_letter`, likewise."""

    tenant: str
    sale_id: str
    reservation_id: str
    state: str
    create_time: datetime
    shard: int
    created_epoch: int
    created_seq: int
    created_index: int


def random_moment(random: Random) -> datetime:
    return START + timedelta(milliseconds=10 * random.randrange(_TICKS))


def random_sales(random: Random) -> Iterator[StoredSale]:
    for tenant in TENANTS:
        for sale_id in IDS:
            made, maybe = random_moment(random), [None, *(START + timedelta(seconds=s) for s in (-50, 0, 50))]
            closed = random.choice(maybe)
            yield StoredSale(
                *(tenant, sale_id, made, made + timedelta(seconds=random.choice([-9, 9]))),
                end_time=random.choice([None, START + timedelta(seconds=random.choice([-5, 60]))]),
                close_time=closed,
                release_time=random.choice([None, closed]),
                left_time=random.choice([None, None, START]),
                paused=random.random() < 0.5,
                shard=random.randrange(SHARDS),
            )


def random_reservations(random: Random, sales: Sequence[StoredSale], count: int) -> Iterator[StoredReservation]:
    for number in range(count):
        sale = random.choice(sales)
        state = random.choice(STATES)
        expires = START + timedelta(seconds=random.choice([-60, -20, 0, 1, 2, 60]))
        yield StoredReservation(
            *(sale.tenant, sale.sale_id, f"{random.choice('RrSs')}{number}", random.choice(IDS)),
            reference=random.choice(["", *IDS[:2]]),
            state=state,
            create_time=random_moment(random),
            expire_time=expires if state == "HELD" else random.choice([None, expires]),
            shard=sale.shard,
        )


def random_adjustments(random: Random, sales: Sequence[StoredSale], count: int) -> Iterator[StoredAdjustment]:
    for seq in range(1, count + 1):
        sale = random.choice(sales)
        place = random.randrange(1, 3), seq, random.randrange(3)
        yield StoredAdjustment(*sale[:2], f"a-{seq}", random.choice(IDS), random_moment(random), *place)


def random_dead_letters(random: Random, sales: Sequence[StoredSale], count: int) -> Iterator[StoredDeadLetter]:
    for seq in range(1, count + 1):
        sale, state = random.choice(sales), random.choice(("OPEN", "SETTLED", "REPLAYED"))
        made = random.randrange(1, 3), seq, random.randrange(3)
        yield StoredDeadLetter(*sale[:2], f"r-{seq}", state, random_moment(random), sale.shard, *made)


async def insert_sales(db: Session, sales: Iterable[StoredSale]) -> None:
    others = {
        "title": "",
        "hold_ttl_ms": 1,
        "max_hold_ttl_ms": 1,
        "buyer_limit": 0,
        "attempts_per_minute": 0,
        "return_window_ms": 0,
    }
    etag = {"etag_epoch": 1, "etag_seq": 2, "etag_index": 3, "body": ""}
    await _insert(db, "sale", [{**s._asdict(), **others, **etag, "update_time": s.create_time} for s in sales])


async def insert_reservations(db: Session, reservations: Iterable[StoredReservation], quantity: int = 1) -> None:
    """With a line each, of as many units, and one that a change of the hold dropped."""
    rows, lines = [], []
    for r in reservations:
        place = {"created_epoch": 1, "created_seq": 1, "created_index": 0, "epoch": 1, "seq": 2, "index": 0}
        others = {
            "revision": 2,
            "update_time": r.create_time,
            "compensation_reason": None,
            "note": "",
            "asked_hold_ms": 0,
        }
        rows.append({**r._asdict(), **place, **others, "ledger_state": "RECORDED"})
        key = {"tenant": r.tenant, "sale_id": r.sale_id, "reservation_id": r.reservation_id}
        counts = {"confirmed_quantity": 0, "returned_quantity": 0, "asked_quantity": 1}
        lines += [{**key, "sku": sku, "quantity": units, **counts} for sku, units in (("lamp", quantity), ("sofa", 0))]
    await _insert(db, "reservation", rows)
    await _insert(db, "reservation_line", lines)


async def insert_adjustments(db: Session, adjustments: Iterable[StoredAdjustment]) -> None:
    others = {
        "asked_delta": 1,
        "reason": "found",
        "reference": "",
        "actor": "",
        "change": 1,
        "total_after": 9,
        "shard": 0,
    }
    await _insert(db, "adjustment", [{**each._asdict(), **others, "shard": 0} for each in adjustments])


async def insert_dead_letters(db: Session, letters: Iterable[StoredDeadLetter]) -> None:
    others: dict[str, Any] = {"buyer_id": "ada", "reason": "BUYER_BLOCKED", "detail": "fraud"}
    others |= {"lines": '[{"sku": "lamp", "quantity": 2}]', "outstanding": "[]", "sold": "[]"}
    latest = {"latest_revision": 1, "latest_time": START, "latest_epoch": 1, "latest_seq": 1, "latest_index": 0}
    place = {"epoch": 1, "seq": 5, "index": 0}
    reservation = {"reservation_state": "COMPENSATED", "reservation_create_time": START}
    made = [{**letter._asdict(), **others, **latest, **place, **reservation} for letter in letters]
    await _insert(db, "dead_letter", made)


async def _insert(db: Session, table: str, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        await db.copy_records_to_table(table, columns=list(rows[0]), records=[tuple(row.values()) for row in rows])


def seen_state(reservation: StoredReservation, sales: Iterable[StoredSale], now_ms: Sequence[int]) -> str:
    """The state of a reservation as every call tells it."""
    if reservation.state != "HELD":
        return reservation.state
    [sale] = [sale for sale in sales if sale[:2] == reservation[:2]]
    expires = reservation.expire_time
    assert expires is not None
    if sale.release_time is not None and sale.release_time < expires:
        return "RELEASED"
    return "EXPIRED" if now_ms[reservation.shard] >= expires.timestamp() * 1000 else "HELD"


def sale_state(sale: StoredSale, now: datetime) -> str:
    """The first that applies."""
    if sale.left_time:
        return "ARCHIVED"
    if sale.close_time:
        return "CLOSED"
    if sale.end_time and now >= sale.end_time:
        return "ENDED"
    if now < sale.start_time:
        return "SCHEDULED"
    return "PAUSED" if sale.paused else "OPEN"
