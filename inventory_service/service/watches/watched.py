"""One sale or reservation that is watched, and the streams that watch it. There are no queues of messages: a stream has
at most one, and the next is made of what has changed by then.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

import structlog
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.results import Failure
from inventory_service.domain.watches import NEVER

SILENCE_S = 5.0  # for which what cannot be read is waited for
_ABSENT: Final = (reasons.ERROR_REASON_SALE_NOT_FOUND, reasons.ERROR_REASON_RESERVATION_NOT_FOUND)

Message = bytes | Failure | None  # None: the watch is over, and ends well
log = structlog.get_logger()


class View(Protocol):
    """What watches are sent of something; `changed` is the poll at which that changed last."""

    changed: int

    @property
    def is_over(self) -> bool: ...


V = TypeVar("V", bound=View)


class Watch:
    """One stream. Its caller asks for the next message once the one before was written."""

    def __init__(self, watched: "Watched[View]", joined: int) -> None:
        self._watched = watched
        self.joined = joined  # the last poll that had begun by then: the first message is of a later one
        self.sent = NEVER  # the poll whose news it was sent
        self.is_closed = False
        self._is_over = False
        self._next: asyncio.Future[Message] | None = None
        watched.streams += 1

    async def next(self) -> Message:
        """The next message, as soon as there is one; a failure, or None, is the last."""
        if self._is_over:
            return None
        self._next = asyncio.get_running_loop().create_future()
        self._watched.wait(self)
        return await self._next

    def send(self) -> int:
        """Send what is newer than what it was sent, and return the size in bytes; 0 for a failure."""
        try:
            message = self._watched.message(self.sent)
        except Exception:  # any bug: this watch ends, and the others go on
            log.exception("message_failed")
            message = Failure(reasons.ERROR_REASON_OUTCOME_UNKNOWN)
        self.sent, self._is_over = self._watched.view.changed, self._watched.view.is_over
        if self._next is not None and not self._next.done():  # its caller may have left a moment ago
            self._next.set_result(message)
        return len(message) if isinstance(message, bytes) else 0

    def close(self) -> None:
        """It is sent nothing any more."""
        self.is_closed = True
        self._watched.leave(self)


class Watched(Generic[V]):
    """The view of one thing, and its streams: those that wait for news are here, the others are sent to or write."""

    def __init__(
        self,
        view: V,
        encode: Callable[[V, int], bytes],
        offer: Callable[[Watch], None],
        clock: Callable[[], float],
        heartbeat_s: float | None,
    ) -> None:
        """`encode` makes a message of what is newer than a poll; a stream that can be sent one is offered."""
        self.view = view
        self.streams = 0
        self.archive_asked = float("-inf")  # when the ledger was asked for it last
        self.is_asking_archive = False
        self._encode = encode
        self._offer = offer
        self._clock = clock
        self._heartbeat_s = heartbeat_s
        self._new: dict[Watch, None] = {}  # wait for their first message
        self._idle: OrderedDict[Watch, float] = OrderedDict()  # have all news; since when, in this order
        self._messages: dict[int, bytes] = {}  # of the view as it is, by the poll that they follow
        self._failure: Failure | None = None  # that ends its watches
        self._silent_since: float | None = None

    @property
    def is_failing(self) -> bool:
        """Whether it could not be read when that was last tried."""
        return self._silent_since is not None

    @property
    def has_new(self) -> bool:
        """Whether a stream waits for its first message."""
        return bool(self._new)

    def wait(self, watch: Watch) -> None:
        """Keep a stream until there is a message for it."""
        if watch.sent == NEVER:
            self._new[watch] = None
        elif self._failure is not None or self.view.is_over or self.view.changed > watch.sent:
            self._offer(watch)
        else:
            self._idle[watch] = self._clock()

    def leave(self, watch: Watch) -> None:
        """Forget a stream."""
        self._new.pop(watch, None)
        self._idle.pop(watch, None)
        self.streams -= 1

    def message(self, sent: int) -> bytes | Failure:
        """What is newer than the news of that poll, or the failure that ends the watch."""
        if self._failure is not None:
            return self._failure
        message = self._messages.get(sent)
        if message is None:
            message = self._messages[sent] = self._encode(self.view, sent)
        return message

    def was_read(self, poll: int) -> None:
        """Its view is as the store had it after this poll began: streams that lack something are offered."""
        self._failure = self._silent_since = None
        self._messages.clear()
        for watch in [watch for watch in self._new if watch.joined < poll]:
            del self._new[watch]
            self._offer(watch)
        if self.view.changed == poll or self.view.is_over:
            self._offer_idle(float("inf"))
        elif self._heartbeat_s is not None:
            self._offer_idle(self._clock() - self._heartbeat_s)

    def failed(self, failure: Failure, began: float) -> None:
        """It could not be read by a call that began then: its watches end if it is absent, or after a while."""
        if self._silent_since is None:
            self._silent_since = began
        if not is_absent(failure) and self._clock() - self._silent_since < SILENCE_S:
            return
        self._failure = failure
        for watch in self._new:
            self._offer(watch)
        self._new.clear()
        self._offer_idle(float("inf"))

    def _offer_idle(self, until: float) -> None:
        """Offer the streams that have been idle since then or longer."""
        while self._idle:
            if next(iter(self._idle.values())) > until:
                return
            self._offer(self._idle.popitem(last=False)[0])


def is_absent(failure: Failure) -> bool:
    """Whether there is no such sale or reservation."""
    return failure.reason in _ABSENT
