"""How often each buyer was judged within the last 60 seconds, in a sale that limits it.

The reference for lua/lib/attempts.lua. Attempts are in no commit.
"""

from dataclasses import dataclass, field
from typing import Final

from holdfast.inventory.v1.reservation_pb2 import (
    REJECTION_REASON_BUYER_LIMIT,
    REJECTION_REASON_INSUFFICIENT_STOCK,
    REJECTION_REASON_ITEM_LIMIT,
    REJECTION_REASON_SOLD_OUT,
)

from inventory_service.domain.results import Granted, Rejected

MINUTE_MS = 60_000
_COUNTED: Final = (
    REJECTION_REASON_SOLD_OUT,
    REJECTION_REASON_INSUFFICIENT_STOCK,
    REJECTION_REASON_ITEM_LIMIT,
    REJECTION_REASON_BUYER_LIMIT,
)


@dataclass
class _Minute:
    number: int  # since 1970, by the shard's clock
    times: dict[str, list[int]] = field(default_factory=dict)  # buyer -> when, in ms


@dataclass
class Attempts:
    """The attempts of one sale, by buyer; of an even and an odd minute, of which each makes an older one empty."""

    minutes: list[_Minute] = field(default_factory=lambda: [_Minute(0), _Minute(1)])

    def time_of(self, buyer_id: str, ago: int, now_ms: int) -> int | None:
        """When the attempt was made that is `ago` attempts ago, 1 for the latest one, in ms.

        None without so many in the last 60 seconds.
        """
        minute = now_ms // MINUTE_MS
        times = self._of(minute - 1).get(buyer_id, []) + self._of(minute).get(buyer_id, [])
        return times[-ago] if len(times) >= ago and times[-ago] > now_ms - MINUTE_MS else None

    def add(self, buyer_id: str, now_ms: int) -> None:
        """Count an attempt."""
        number = now_ms // MINUTE_MS
        if self.minutes[number % 2].number != number:
            self.minutes[number % 2] = _Minute(number)
        self.minutes[number % 2].times.setdefault(buyer_id, []).append(now_ms)

    def _of(self, number: int) -> dict[str, list[int]]:
        minute = self.minutes[number % 2]
        return minute.times if minute.number == number else {}


def is_attempt(result: object) -> bool:
    """Whether a result counts: units were granted, or there were too few, or a limit did not allow more."""
    if isinstance(result, Rejected):
        return result.reason in _COUNTED
    return isinstance(result, Granted) and not result.replayed
