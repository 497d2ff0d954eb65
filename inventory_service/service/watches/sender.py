"""Sends news to watches in turn, within a budget of messages and of bytes."""

from collections import deque
from collections.abc import Callable

from inventory_service.service.watches.budget import Budget
from inventory_service.service.watches.watched import Watch

MESSAGES_PER_S = 1_000
BYTES_PER_S = 16 * 1024 * 1024


class Sender:
    """The watches for which there is news, each once, in the order in which there came to be some."""

    def __init__(self, clock: Callable[[], float], count_messages: Callable[[int], None]) -> None:
        self._ready: deque[Watch] = deque()
        self._messages = Budget(MESSAGES_PER_S, clock)
        self._bytes = Budget(BYTES_PER_S, clock)
        self._count = count_messages

    def offer(self, watch: Watch) -> None:
        """Have a watch sent its next message when its turn comes."""
        self._ready.append(watch)

    def send(self) -> None:
        """Send as much as the budgets allow now. What is sent is made of the news up to this moment."""
        sent = 0
        while self._ready and self._messages.is_left() and self._bytes.is_left():
            watch = self._ready.popleft()
            if not watch.is_closed:
                self._bytes.take(watch.send())
                self._messages.take(1)
                sent += 1
        if sent:
            self._count(sent)
