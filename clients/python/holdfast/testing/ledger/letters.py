"""Reads dead letters of the ledger in memory, and begins or undoes their replays."""

from holdfast.inventory.v1.inventory_admin_service_pb2 import DEAD_LETTER_STATE_REPLAYED, DEAD_LETTER_STATE_SETTLED
from holdfast.testing.ledger.tables import LetterRow, Tables
from inventory_service.domain.dead_letters import DeadLetter, DeadLetterRead
from inventory_service.domain.keys import Position


class InMemoryDeadLetters:
    """The port `DeadLetters`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def find(self, tenant: str, created: Position) -> DeadLetterRead | None:
        row = self._tables.letters.get(created)
        if row is None or row.letter.sale.tenant != tenant:
            return None
        sale = self._tables.sales.get(row.letter.sale)
        return DeadLetterRead(row.letter, row.latest.reference, sale is not None and sale.has_left)

    async def begin_replay(self, created: Position, reservation_id: str) -> DeadLetter | None:
        row = self._tables.letters.get(created)
        if row is None or row.letter.state != DEAD_LETTER_STATE_SETTLED or self._is_taken(row, reservation_id):
            return None
        return self._set(row, int(DEAD_LETTER_STATE_REPLAYED), reservation_id)

    async def undo_replay(self, created: Position, reservation_id: str) -> DeadLetter | None:
        row = self._tables.letters.get(created)
        if row is None or row.letter.replayed_as != reservation_id:
            return None
        return self._set(row, int(DEAD_LETTER_STATE_SETTLED), "")

    def _set(self, row: LetterRow, state: int, replayed_as: str) -> DeadLetter:
        row.letter = row.letter._replace(state=state, replayed_as=replayed_as)
        return row.letter

    def _is_taken(self, row: LetterRow, reservation_id: str) -> bool:
        """Whether an order of the sale has or had this id, or another letter is replayed under it."""
        sale = row.letter.sale
        others = (other.letter for other in self._tables.letters_of(sale))
        named = any(reservation_id in (letter.reservation_id, letter.replayed_as) for letter in others)
        return named or self._tables.row(sale, reservation_id) is not None
