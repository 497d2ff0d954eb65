"""A load of Reserve calls: what a load generator is asked to send, and its report."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

METHOD = "holdfast.inventory.v1.InventoryService/Reserve"
SKU = "lamp"


class LoadFailed(RuntimeError):
    """A load generator is not installed, did not run, or saw calls fail; the message says which."""


@dataclass(frozen=True)
class Load:
    """Reserve calls for one unit each, every one with a reservation id and a buyer of its own."""

    address: str
    sale_id: str
    series: int  # another one for each load on a sale, for ids are unique within a series only
    seconds: float
    connections: int = 10
    streams: int = 10  # calls in flight on each connection
    smallest_answer: int = 0  # bytes of a response's message; fewer mean that calls failed, and 0 that they may
    token: str = ""  # that each call is sent with; empty: none


@dataclass(frozen=True)
class Report:
    """The result of a load. Every call was answered, and unless its smallest answer is 0, none by a failure."""

    calls: int
    seconds: float
    latencies_ms: Sequence[float]  # sorted
    data_bytes: int = 0  # of all messages with their prefixes; a call that failed has none

    @property
    def calls_per_s(self) -> float:
        """Calls a second."""
        return self.calls / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """The latency that this share of the calls did not pass, by nearest rank."""
        rank = math.ceil(len(self.latencies_ms) * percent / 100)
        return self.latencies_ms[max(rank, 1) - 1]
