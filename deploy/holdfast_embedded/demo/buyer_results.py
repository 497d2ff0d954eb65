"""The results of the demo's buyers: counts, latencies, and the last acknowledged state of each reservation."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Acknowledged:
    """One reservation as the last response to its buyer had it."""

    reservation_id: str
    buyer_id: str
    units: int
    blocked: bool  # the ledger refuses what this buyer confirms
    state: int  # a ReservationState


@dataclass
class BuyerResults:
    """The results of all buyers together. `unexpected` describes each response that must not occur."""

    counts: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    acknowledged: dict[str, Acknowledged] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    calls: int = 0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count one answered call and its latency, as the caller measures it."""
        began = time.perf_counter()
        yield
        self.latencies_s.append(time.perf_counter() - began)
        self.calls += 1

    def percentile_ms(self, share: float) -> float:
        """Return the latency that this share of the calls did not exceed; 0 before the first call."""
        if not self.latencies_s:
            return 0.0
        rank = math.ceil(share * len(self.latencies_s)) - 1
        return 1000 * sorted(self.latencies_s)[max(0, rank)]
