"""A lane of a shard's queue: requests wait in the order of their arrival, and it chooses those of the next call."""

import asyncio
from collections import deque
from collections.abc import Collection
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from inventory_service.domain.change_hold import ChangeHold
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import Move
from inventory_service.domain.plain_reserve import PlainReserve
from inventory_service.domain.reserve import Reserve

Request: TypeAlias = Reserve | PlainReserve | Move | ChangeHold
Id: TypeAlias = tuple[SaleKey, str]
RESERVE, MOVE, CHANGE_HOLD = "reserve", "move", "change_hold"
# Requests of one kind are judged by one script, so they can share a call.
KIND_OF: Final[dict[type, str]] = {Reserve: RESERVE, PlainReserve: RESERVE, Move: MOVE, ChangeHold: CHANGE_HOLD}


class Limits(NamedTuple):
    """How large a call may be and when it goes: docs/decisions/batching.md says why."""

    requests: int = 128
    lines: int = 512  # of reserves; the script alone knows how many lines a move has
    full_at: int = 32  # so many waiting requests never wait for more
    interval_s: float = 0.004  # a busy shard's calls begin at least so far apart, unless enough requests wait
    idle_below: int = 3  # a shard is busy if its last call and its queue hold more than these together
    queue: int = 4096  # claims that wait for a shard, and as many moves; the next one is answered OVERLOADED
    wait_s: float = 29.0  # so long a request waits, then it is OVERLOADED: less than a call without a deadline may take
    scan_limit: int = 512  # waiting requests that one call chooses from


class Answer(Protocol):
    """Gets the result of one request: the part of a Future that the queue uses."""

    def done(self) -> bool: ...

    def set_result(self, result: Any) -> None: ...


class Waiting(NamedTuple):
    """A request that waits. Its `id` is kept because making it anew takes as long as looking it up."""

    request: Request
    answer: "asyncio.Future[Any] | Answer"
    since: float
    id: Id


class Lane:
    """Requests that wait, and when the last call began that took some of them."""

    def __init__(self, full_at: int) -> None:
        self.waiting: deque[Waiting] = deque()
        self.ids: dict[Id, int] = {}  # of those that wait, and how many of each
        self.last_began = float("-inf")
        self.last_size = 0
        self.enough = full_at  # so many waiting requests do not wait for more
        self.timer_is_set = False  # which sends what waits

    def append(self, waiting: Waiting) -> None:
        self.waiting.append(waiting)
        self.ids[waiting.id] = self.ids.get(waiting.id, 0) + 1

    def pop_first(self) -> Waiting:
        first = self.waiting.popleft()
        self._forget(first)
        return first

    def take_batch(self, limits: Limits, elsewhere: Collection[Id]) -> list[Waiting]:
        """The requests of the next call: the first one's kind, and none before an earlier one about its id.

        A request whose id is in `elsewhere` stays: an earlier one waits in the other lane. A change of a hold goes
        alone. Requests whose callers have cancelled them are dropped.
        """
        batch: list[Waiting] = []
        passed: list[Waiting] = []  # stay, in their order
        passed_ids, kind, lines = set(elsewhere), "", 0
        for _ in range(min(limits.scan_limit, len(self.waiting))):
            waiting = self.waiting.popleft()
            request = waiting.request
            if waiting.answer.done():
                self._forget(waiting)
                continue
            own_kind = KIND_OF[type(request)]
            if (passed_ids and waiting.id in passed_ids) or (batch and own_kind != kind):
                passed.append(waiting)
                passed_ids.add(waiting.id)
                continue
            lines += len(request.lines) if type(request) is Reserve else 1
            if batch and kind == RESERVE and lines > limits.lines:
                passed.append(waiting)
                break
            kind = own_kind
            self._forget(waiting)
            batch.append(waiting)
            if len(batch) == limits.requests or kind == CHANGE_HOLD:
                break
        self.waiting.extendleft(reversed(passed))
        return batch

    def learn(self, size: int, full_at: int, *, was_alone: bool) -> None:
        """Set how many requests are enough, now that a call of `size` has ended.

        If nothing else was under way, all callers waited for that call, and half of them could have been sent while the
        server prepared the others. Else a larger call costs each request less: one more, until it is full.
        """
        self.enough = min(max(1, size // 2) if was_alone else self.enough + 1, full_at)

    def _forget(self, waiting: Waiting) -> None:
        left = self.ids[waiting.id] - 1
        if left:
            self.ids[waiting.id] = left
        else:
            del self.ids[waiting.id]
