"""Checks what the stores hold after a recovery: by raw reads and arithmetic of its own, and no code of the product.

The journal is the measure. Each of its commits must follow from the one before, the rows of the ledger and the state in
Redis must be what its events add up to, and what callers were told must stand in it, or be announced as lost.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import NamedTuple

from holdfast.inventory.v1.commit_pb2 import CommitBody, ReservationChange

from tests.faults.applied_once import broken_chain
from tests.faults.recovery.load import Answer
from tests.faults.recovery.stored import STATES, Commit, InLedger, InRedis, Item, Key, Reservation, unusual

Place = tuple[int, int, int, int]  # shard, epoch, seq, index
CommitPlace = tuple[int, int, int]
SILENTLY = "lost in silence"


class Told(NamedTuple):
    """What callers were told before a fault, and what was known of it when the fault was over."""

    answers: list[Answer]
    recorded: Collection[CommitPlace]  # commits that the ledger had when the fault came
    surviving: Collection[CommitPlace]  # commits that Redis, the ledger or Kafka has after the fault
    may_lose: bool  # a loss of what survives may be accepted
    blocked: str  # the buyer whose orders the ledger refuses


class Announced(NamedTuple):
    """Commits of a shard that a process has logged as acknowledged and lost: epoch and seq of the ends of the range."""

    shard: int
    first: tuple[int, int]
    last: tuple[int, int]


@dataclass
class Books:
    """What the events of the journal add up to."""

    events: dict[Place, tuple[Key, str, int]] = field(default_factory=dict)  # reservation, state, revision
    totals: Counter[Key] = field(default_factory=Counter)
    reservations: dict[Key, Reservation] = field(default_factory=dict)


class Usage(NamedTuple):
    """Units by sale and SKU."""

    held: Counter[Key]
    sold: Counter[Key]


def find_violations(
    redis: InRedis, ledger: InLedger, told: Told, after: list[Answer], announced: Collection[Announced] = ()
) -> list[str]:
    """Every broken promise in a sentence; both stores must stand at the same commit, with no refused order open.

    `after` is what callers were told after the fault: all of it must stand.
    """
    books = books_of(ledger.journal)
    return [
        *chain_violations(ledger.journal),
        *differences("the ledger", ledger.reservations, "its journal", books.reservations),
        *differences("Redis", redis.reservations, "the journal", books.reservations),
        *stock_violations(redis, ledger, books),
        *buyer_violations(redis, books),
        *lost_answers(told, books, ledger, announced),
        *(f"told after the fault and not in the ledger: {answer}" for answer in after if not stands(answer, books)),
        *wrong_ends([*told.answers, *after], books, told.blocked),
        *sold_twice([*told.answers, *after], books),
    ]


def books_of(journal: Iterable[Commit]) -> Books:
    """Add the events of all commits up, in their order."""
    books = Books()
    for commit in journal:
        for index, event in enumerate(CommitBody.FromString(commit.payload).events):
            if event.HasField("sale_made"):
                for item in event.sale_made.sale.items:
                    books.totals[event.sale_made.sale.sale_id, item.sku] = item.total
            elif event.HasField("sale_changed"):
                for item in event.sale_changed.added:
                    books.totals[event.sale_changed.sale_id, item.sku] = item.total
            elif event.HasField("stock_adjusted"):
                books.totals[event.stock_adjusted.sale_id, event.stock_adjusted.sku] += event.stock_adjusted.change
            elif event.HasField("reservation"):
                _book(books, (commit.shard, commit.epoch, commit.seq, index), event.reservation)
    return books


def _book(books: Books, place: Place, change: ReservationChange) -> None:
    key, state = (change.claim.sale_id, change.claim.reservation_id), STATES[change.state]
    books.events[place] = (key, state, change.revision)
    units = tuple(sorted((line.sku, line.quantity) for line in change.claim.lines))
    accounts = tuple(sorted((unit.sku, unit.claimed, unit.sold, unit.came_back) for unit in change.after))
    before = books.reservations.get(key)
    made = Reservation(state, change.revision, change.claim.buyer_id, units, *place[1:])
    books.reservations[key] = after = replace(made, unusual=unusual(state, units, accounts) if accounts else ())
    if change.discarded and before is not None:
        for (sku, had), (_, has) in zip(before.sold, after.sold or [(sku, 0) for sku, _ in before.sold], strict=True):
            books.totals[key[0], sku] -= had - has


def chain_violations(journal: Iterable[Commit]) -> Iterator[str]:
    """Commits that do not follow from the one before them, or that are missing."""
    for _, commits in groupby(journal, lambda commit: commit.shard):
        yield from broken_chain([commit._asdict() for commit in commits])


def differences(
    name: str, found: Mapping[Key, Reservation], measure: str, expected: Mapping[Key, Reservation]
) -> Iterator[str]:
    """Reservations that one has and the other has not, or has otherwise."""
    for key in sorted(found.keys() | expected.keys()):
        if found.get(key) != expected.get(key):
            yield f"{key}: {name} has {found.get(key)}, {measure} has {expected.get(key)}"


def usage_of(reservations: Mapping[Key, Reservation]) -> Usage:
    """The units that live and confirmed reservations take: each unit is in one reservation at most."""
    usage = Usage(Counter(), Counter())
    for (sale_id, _), reservation in reservations.items():
        for account, units in ((usage.held, reservation.held), (usage.sold, reservation.sold)):
            for sku, quantity in units:
                account[sale_id, sku] += quantity
    return usage


def stock_violations(redis: InRedis, ledger: InLedger, books: Books) -> Iterator[str]:
    """Items whose stock in either store is not what the journal says, does not add up, or is oversold."""
    usage = usage_of(books.reservations)
    for key, total in books.totals.items():
        held, sold = usage.held[key], usage.sold[key]
        if held + sold > total:
            yield f"{key}: oversold, {held} units are held and {sold} sold of {total}"
        expected = Item(total, total - held - sold, held, sold, 0)
        if ledger.items.get(key) != expected:
            yield f"{key}: the ledger has {ledger.items.get(key)}, and should have {expected}"
        if redis.items.get(key) != expected[1:4]:
            yield f"{key}: Redis has {redis.items.get(key)}, and should have {expected[1:4]}"
    for key in (ledger.items.keys() | redis.items.keys()) - books.totals.keys():
        yield f"{key}: is in a store, and no sale in the journal has it"


def buyer_violations(redis: InRedis, books: Books) -> Iterator[str]:
    """Buyers whose units in Redis are not those of their reservations, and holds that would never or wrongly end."""
    units: dict[Key, list[int]] = defaultdict(lambda: [0, 0])
    for (sale_id, _), reservation in books.reservations.items():
        if reservation.state in ("HELD", "CONFIRMED"):
            for account, taken in enumerate((reservation.held, reservation.sold)):
                units[sale_id, reservation.buyer_id][account] += sum(quantity for _, quantity in taken)
    expected = {key: (held, sold) for key, (held, sold) in units.items()}
    for key in sorted(expected.keys() | redis.buyers.keys()):
        if expected.get(key) != redis.buyers.get(key):
            yield f"{key}: Redis has {redis.buyers.get(key)} units of this buyer, and should have {expected.get(key)}"
    holds = {key for key, reservation in books.reservations.items() if reservation.state == "HELD"}
    for key in sorted(holds ^ redis.expiring):
        yield f"{key}: {'has no end in Redis' if key in holds else 'has an end in Redis, and is no hold'}"


def stands(answer: Answer, books: Books) -> bool:
    """Whether the journal has the change that a caller was told of. A hold is told as expired once its end has come."""
    place = (answer.shard, answer.epoch, answer.seq, answer.index)
    key, state, revision = books.events.get(place, (("", ""), "", 0))
    states = {state, "EXPIRED"} if state == "HELD" else {state}
    return (key, revision) == (answer.key, answer.revision) and STATES[answer.state] in states


def lost_answers(told: Told, books: Books, ledger: InLedger, announced: Collection[Announced]) -> Iterator[str]:
    """What callers were told, what was kept somewhere or recorded, and what is gone: in silence, or without consent."""
    for answer in told.answers:
        if stands(answer, books):
            continue
        survived = answer.commit in told.surviving
        if survived and not told.may_lose:
            yield f"lost, although a store has it: {answer}"
        elif (survived or answer.commit in told.recorded) and not is_announced(answer, ledger, announced):
            yield f"{SILENTLY}: {answer}"


def is_announced(answer: Answer, ledger: InLedger, announced: Collection[Announced]) -> bool:
    """Whether the ledger lists the change as an orphan or has an epoch that says that commits were lost there, or the
    log says so."""
    at = (answer.epoch, answer.seq)
    if any(answer.shard == one.shard and one.first <= at <= one.last for one in announced):
        return True
    if (answer.shard, answer.epoch, answer.seq, answer.index) in ledger.orphans:
        return True
    return any(
        shard == answer.shard and (base_epoch, base_seq) < at and answer.epoch < epoch
        for shard, epoch, base_epoch, base_seq in ledger.losses
    )


def wrong_ends(answers: Iterable[Answer], books: Books, blocked: str) -> Iterator[str]:
    """Orders that were confirmed to a caller and ended otherwise; only the blocked buyer's may be given back."""
    for answer in answers:
        end = books.reservations.get(answer.key)
        if end is None or not stands(answer, books):
            continue
        allowed = {"CONFIRMED", "COMPENSATED"} if answer.buyer_id == blocked else {"CONFIRMED"}
        if STATES[answer.state] == "CONFIRMED" and end.state not in allowed:
            yield f"confirmed, and {end.state} in the end: {answer}"


def sold_twice(answers: Iterable[Answer], books: Books) -> Iterator[str]:
    """Items of which more units were sold to callers, by answers that stand, than there are."""
    confirmed = {
        answer.key: answer.units for answer in answers if STATES[answer.state] == "CONFIRMED" and stands(answer, books)
    }
    promised: Counter[Key] = Counter()
    for key, units in confirmed.items():
        for sku, quantity in units if books.reservations[key].state != "COMPENSATED" else ():
            promised[key[0], sku] += quantity
    for item, quantity in promised.items():
        if quantity > books.totals[item]:
            yield f"{item}: {quantity} units were sold of {books.totals[item]}"
