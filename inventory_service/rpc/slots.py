"""Slots: how much a process has under way at a time, over all of its calls and of the messages on its streams."""

import asyncio
from collections import deque

from inventory_service.rpc.methods import CLAIM, SLOTS

STREAM_SLOTS = SLOTS // 2  # of these, for the messages of all streams together
POLL_S = 0.01  # calls that end wake no stream, which would cost each of them something


class Slots:
    """How many are in use. The middleware takes one for each call; what judges many items takes one for each item."""

    __slots__ = ("in_use",)

    def __init__(self) -> None:
        self.in_use = 0

    def take(self, count: int, limit: int) -> bool:
        """Take so many, or none if more than the limit would be in use then."""
        if self.in_use + count > limit:
            return False
        self.in_use += count
        return True

    def give_back(self, count: int) -> None:
        self.in_use -= count


class StreamSlots:
    """The slots of the messages of all streams; a stream waits for one, and they go by the order of asking."""

    def __init__(self, slots: Slots, most: int = STREAM_SLOTS) -> None:
        self._slots = slots
        self._most = most
        self._in_use = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer_is_set = False  # which calls `_poll`

    async def take(self) -> None:
        """Wait for a slot; ends by cancellation or with the slot."""
        if self.take_at_once():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._set_timer()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the slot was given in the same moment
                self.give_back()
            raise

    def take_at_once(self) -> bool:
        """Take a slot if one is free and no stream waits for it."""
        return not self._waiting and self._take_one()

    def give_back(self) -> None:
        self._in_use -= 1
        self._slots.give_back(1)
        self._serve_waiting()

    def _take_one(self) -> bool:
        if self._in_use >= self._most or not self._slots.take(1, CLAIM.slots):
            return False
        self._in_use += 1
        return True

    def _serve_waiting(self) -> None:
        while self._waiting:
            if self._waiting[0].cancelled():
                self._waiting.popleft()
            elif self._take_one():
                self._waiting.popleft().set_result(None)
            else:
                return

    def _set_timer(self) -> None:
        if not self._timer_is_set:
            self._timer_is_set = True
            asyncio.get_running_loop().call_later(POLL_S, self._poll)

    def _poll(self) -> None:
        self._timer_is_set = False
        self._serve_waiting()
        if self._waiting:
            self._set_timer()
