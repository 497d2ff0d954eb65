"""A load of Reserve calls: what a load generator is asked to send, and its report."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from holdfast.access import Tls

METHOD = "holdfast.inventory.v1.InventoryService/Reserve"
SKU = "lamp"
LEAST_SENT = 0.9  # of the calls that a rate comes to; with fewer the load was another than was asked for


class LoadFailed(RuntimeError):
    """A load generator is not installed, did not run, or saw calls fail; the message says which."""


@dataclass(frozen=True)
class Claim:
    """What one Reserve asks for: units by SKU."""

    sale_id: str
    lines: Mapping[str, int]


@dataclass(frozen=True)
class Load:
    """Reserve calls, every one with a reservation id and a buyer of its own."""

    address: str
    sale_id: str
    series: int | str  # another one for each load on a sale, for ids are unique within a series only
    seconds: float
    connections: int = 10
    streams: int = 10  # calls in flight on each connection
    smallest_answer: int = 0  # bytes of a response's message; fewer mean that calls failed, and 0 that they may
    token: str = ""  # that each call is sent with; empty: none
    rate: float | None = None  # calls a second, whether or not earlier ones are answered; None: each after an answer
    to_rate: float | None = None  # to which the rate changes, in steps of a second; None: it stays
    claims: Sequence[Claim] = ()  # in turn; empty: one unit of SKU each
    tls: Tls | None = None
    use_proxy: bool = False

    @property
    def all_claims(self) -> Sequence[Claim]:
        """What the calls ask for, in turn."""
        return self.claims or [Claim(self.sale_id, {SKU: 1})]

    @property
    def scheduled(self) -> float | None:
        """How many calls the rate comes to; None where the calls wait for answers."""
        if self.rate is None:
            return None
        whole = range(math.ceil(self.seconds))
        return sum(self._rate_in(second) * min(1.0, self.seconds - second) for second in whole)

    @property
    def slope(self) -> int:
        """By how many calls a second the rate changes each second: whole ones, so a slow change is over sooner."""
        if self.to_rate is None or self.rate is None:
            return 0
        change = (self.to_rate - self.rate) / self.seconds
        return math.ceil(change) if change > 0 else math.floor(change)

    def _rate_in(self, second: int) -> float:
        """The rate so many seconds after the beginning."""
        assert self.rate is not None
        if self.to_rate is None:
            return self.rate
        lowest, highest = sorted((self.rate, self.to_rate))
        return min(max(self.rate + self.slope * second, lowest), highest)


class Ended(NamedTuple):
    """The end of one call."""

    at: float  # seconds since 1970
    latency_ms: float


@dataclass(frozen=True)
class Report:
    """The result of a load. Every call was answered, and unless its smallest answer is 0, none by a failure."""

    calls: int
    seconds: float
    latencies_ms: Sequence[float]  # sorted
    data_bytes: int = 0  # of all messages with their prefixes; a call that failed has none
    ended: Sequence[Ended] = ()  # every call

    @property
    def calls_per_s(self) -> float:
        """Calls a second."""
        return self.calls / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """The latency that this share of the calls did not pass."""
        return percentile(self.latencies_ms, percent)


def check_sent(calls: int, scheduled: float | None) -> None:
    """LoadFailed if a rate comes to more calls than were sent."""
    if scheduled is not None and calls < LEAST_SENT * scheduled:
        sent = f"{calls} of the {scheduled:.0f} calls that the rate comes to were sent"
        raise LoadFailed(f"{sent}: this machine is too busy or too slow for it")


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value that this share of sorted values does not pass, by nearest rank."""
    rank = math.ceil(len(ordered) * percent / 100)
    return ordered[max(rank, 1) - 1]
