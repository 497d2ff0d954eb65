"""Replays dead letters: reserves anew, under a new id, what an order had that the ledger refused.

First the ledger notes the id in the dead letter, so that it is replayed under no other; then Redis is asked for the
units. If there are none the id is spent, so that no call under it that comes late is ever granted, and only then the
ledger takes the note back. After a crash between two steps the same id goes on where it ended.
"""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeVar

from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1.reservation_pb2 import REJECTION_REASON_RESERVATION_ENDED
from holdfast.inventory.v1.sale_pb2 import SALE_STATE_ARCHIVED

from inventory_service.domain.archive import ArchivedReservation, judge_repeat
from inventory_service.domain.dead_letters import (
    DeadLetter,
    DeadLetterRead,
    dead_letter_id,
    dead_letter_not_found,
    is_replayed_as,
    judge_dead_letter,
    replay_of,
)
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.ports import DeadLetters, ReservationArchive, Stock, StoredStock
from inventory_service.domain.reserve import Replay, ReserveResult
from inventory_service.domain.results import Failure, Granted, Rejected, reservation_id_reused, wrong_sale_state
from inventory_service.service.bulkhead import Bulkhead

# The replay cannot be granted now, nor later under this id; after any other failure the same id may be granted.
_CANNOT_BE_MADE: Final = (reasons.ERROR_REASON_WRONG_SALE_STATE, reasons.ERROR_REASON_ITEM_NOT_FOUND)
_INCONSISTENT: Final = Failure(reasons.ERROR_REASON_SHARD_NOT_SERVING)
_NEVER_USED: Final = 0  # a revision that no reservation has: a spend that expects it ends none
MAX_ROUNDS = 5  # of a step that a call at the same time got ahead of

T = TypeVar("T")


class Replayed(NamedTuple):
    """What a replay came to."""

    outcome: Granted | Rejected
    letter: DeadLetter  # as it stands


class DeadLetterReplay:
    """Each step is harmless twice; of many replays of a dead letter, under whatever ids, one reservation lives."""

    def __init__(
        self,
        letters: DeadLetters,
        reservations: ReservationArchive,
        stock: Stock,
        store: StoredStock,
        bulkhead: Bulkhead,
        now_ms: Callable[[], int],
    ) -> None:
        """`stock` answers for Redis and ledger; `store` is the one in Redis."""
        self._letters = letters
        self._reservations = reservations
        self._stock = stock
        self._store = store
        self._bulkhead = bulkhead
        self._now_ms = now_ms

    async def replay(self, tenant: str, created: Position, reservation_id: str) -> Replayed | Failure:
        """Replay the dead letter of the order made there, or finish the replay of it under this id.

        After an UNAVAILABLE failure it may be REPLAYED under this id, which then finishes it.
        """
        for _ in range(MAX_ROUNDS):
            found = await self._find(tenant, created)
            if isinstance(found, Failure):
                return found
            if is_replayed_as(found.letter, reservation_id):
                return await self._finish(found, reservation_id)
            failure = judge_dead_letter(found)
            if failure is not None:
                return failure
            begun = await self._ask(lambda: self._letters.begin_replay(created, reservation_id))
            if isinstance(begun, Failure):
                return begun
            if begun is not None:
                return await self._finish(found._replace(letter=begun), reservation_id)
            taken = await self._judge_taken(found, reservation_id)
            if taken is not None:
                return taken
        assert isinstance(found, DeadLetterRead), "a round that has not found the letter is the last"
        return reservation_id_reused(found.letter.sale, reservation_id)

    async def _judge_taken(self, found: DeadLetterRead, reservation_id: str) -> Replayed | Failure | None:
        """The result if an order of the sale has or had the id; None: another call began or ended a replay just now.

        While another letter is replayed under the id, and the ledger does not know its reservation yet, it is None too.
        """
        known = await self._known(found.letter.sale, reservation_id)
        if isinstance(known, Failure) or known.reservation is None:
            return known if isinstance(known, Failure) else None
        if known.fingerprint:
            return reservation_id_reused(found.letter.sale, reservation_id)
        spent, as_of = known.reservation, known.reservation.position._replace(index=0)
        ended = Rejected(REJECTION_REASON_RESERVATION_ENDED, as_of, self._now_ms(), ended=spent)
        return Replayed(ended, found.letter)

    async def _finish(self, found: DeadLetterRead, reservation_id: str) -> Replayed | Failure:
        """Get the units, or else make sure that this id never does and settle the letter again."""
        request = replay_of(found, reservation_id)
        for _ in range(MAX_ROUNDS):
            result = await self._judge(request)
            if isinstance(result, Granted) or (isinstance(result, Rejected) and _has_been_made(result)):
                return Replayed(result, found.letter)
            if isinstance(result, Failure) and result.reason == reasons.ERROR_REASON_RESERVATION_ID_REUSED:
                return await self._undo(found, reservation_id, result)
            if isinstance(result, Failure) and result.reason not in _CANNOT_BE_MADE:
                return result
            spent = await self._spend(request, found.letter)
            if isinstance(spent, Failure):
                return spent
            if spent:
                return await self._undo(found, reservation_id, result)
        return _INCONSISTENT

    async def _judge(self, request: Replay) -> ReserveResult:
        """Judge the replay in Redis, unless the ledger has its reservation: that may have left Redis long ago."""
        claim = request.claim
        known = await self._known(claim.sale, claim.reservation_id)
        if isinstance(known, Failure):
            return known
        if known.reservation is not None:
            stands = await self._stock.find_reservation(claim.sale, claim.reservation_id)
            if isinstance(stands, Failure):
                return stands
            as_of = stands.reservation.position._replace(index=0)
            return judge_repeat(claim, as_of, stands.reservation, known.fingerprint, stands.read_time_ms)
        result = await self._store.replay(request)
        if isinstance(result, Failure) and result.reason == reasons.ERROR_REASON_SALE_NOT_FOUND:
            return await self._judge_left_sale(claim.sale)
        return result

    async def _judge_left_sale(self, sale: SaleKey) -> Failure:
        """Nothing can be reserved in a sale that has left Redis."""
        found = await self._stock.find_sale(sale)
        if isinstance(found, Failure):
            return found
        return wrong_sale_state(SALE_STATE_ARCHIVED) if found.sale.state == SALE_STATE_ARCHIVED else _INCONSISTENT

    async def _spend(self, request: Replay, letter: DeadLetter) -> bool | Failure:
        """End the id unless it has been used; False: it has, by a call that was granted meanwhile."""
        sale, reservation_id = request.claim.sale, request.claim.reservation_id
        note = f"not replayed: dead letter {dead_letter_id(letter.created)}"
        spend = Move(sale, reservation_id, MoveKind.SPEND, note, expected_revision=_NEVER_USED)
        moved = await self._stock.move(spend)
        if isinstance(moved, Granted):
            return not moved.reservation.buyer_id
        if moved.reservation is not None:
            return False
        has_left = moved.reason == reasons.ERROR_REASON_RESERVATION_NOT_FOUND  # the sale has: no call gets units in it
        return True if has_left else moved

    async def _undo(self, found: DeadLetterRead, reservation_id: str, result: Rejected | Failure) -> Replayed | Failure:
        """Settle the letter again, if it is still replayed under this id. A spent id is not granted later either."""
        letter = found.letter
        undone = await self._ask(lambda: self._letters.undo_replay(letter.created, reservation_id))
        if isinstance(undone, Failure):
            return undone
        if isinstance(result, Failure):
            return result
        stands = found._replace(letter=undone) if undone else await self._find(letter.sale.tenant, letter.created)
        if isinstance(stands, Failure):
            return stands
        return Replayed(result._replace(retry_after_ms=None), stands.letter)

    async def _find(self, tenant: str, created: Position) -> DeadLetterRead | Failure:
        found = await self._ask(lambda: self._letters.find(tenant, created))
        return dead_letter_not_found(dead_letter_id(created)) if found is None else found

    async def _known(self, sale: SaleKey, reservation_id: str) -> ArchivedReservation | Failure:
        return await self._ask(lambda: self._reservations.find_reservation(sale, reservation_id))

    async def _ask(self, query: Callable[[], Awaitable[T]]) -> T | Failure:
        return await self._bulkhead.ask(query)


def _has_been_made(ended: Rejected) -> bool:
    """Whether the replay was granted before and its reservation has ended; a spent id has no buyer."""
    return ended.ended is not None and bool(ended.ended.buyer_id)
