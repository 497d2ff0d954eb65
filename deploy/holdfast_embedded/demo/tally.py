"""What the demo's buyers were told: counts, latencies, and the last word on every claim."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Claim:
    """What the buyer of one reservation was told last."""

    reservation_id: str
    buyer_id: str
    units: int
    blocked: bool  # the ledger refuses this buyer
    state: int  # a ReservationState


@dataclass
class Tally:
    """Everything that the buyers were told. `complaints` are answers that should never have come."""

    counts: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    claims: dict[str, Claim] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    calls: int = 0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count one answered call and how long it took, as its caller sees it."""
        began = time.perf_counter()
        yield
        self.latencies_s.append(time.perf_counter() - began)
        self.calls += 1

    def percentile_ms(self, share: float) -> float:
        """The latency that so large a share of the calls did not exceed; 0 before the first call."""
        if not self.latencies_s:
            return 0.0
        rank = math.ceil(share * len(self.latencies_s)) - 1
        return 1000 * sorted(self.latencies_s)[max(0, rank)]
