"""The queue between Kafka and the agent, bounded by the number of its records and by their bytes.

Faust's own queue is bounded by records alone. A record of a quiet sale has two hundred bytes, and thousands of them
must be able to wait; a record of a busy sale has a thousand times as many.
"""

from typing import Any

import faust
from faust.types import EventT
from mode.utils.queues import ThrowableQueue

MAX_BYTES = 32 * 1024 * 1024  # some more: the consumer has fetched up to a MiB of each partition beside it


class RecordQueue(ThrowableQueue[EventT[bytes]]):
    """A queue in which a record takes as many places as its bytes come to, and at least one."""

    places = 0

    def qsize(self) -> int:
        return self.places

    def clear(self) -> None:
        super().clear()
        self.places = 0

    def _put(self, item: EventT[bytes]) -> None:
        super()._put(item)
        self.places += self._places_of(item)

    def _get(self) -> EventT[bytes]:
        item: EventT[bytes] = super()._get()
        self.places -= self._places_of(item)
        return item

    def _places_of(self, item: EventT[bytes]) -> int:
        return 1 + len(item.message.value or b"") * self.maxsize // MAX_BYTES


class PersisterApp(faust.App):
    """A Faust app whose agents read from a RecordQueue."""

    def FlowControlQueue(self, maxsize: int | None = None, *, clear_on_resume: bool = False) -> Any:
        """The queue that Faust makes for an agent."""
        return RecordQueue(maxsize or 0, flow_control=self.flow_control, clear_on_resume=clear_on_resume)
