"""One load on one strategy: its books, latencies, throughput and CPU."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast_bench.load import percentile

from bench.cpu import cpu_s
from bench.strategies import books
from bench.strategies.books import Books
from bench.strategies.callers import Outcome, SaleLoad
from bench.strategies.load_process import loading
from bench.strategies.system import System

SCARCE, ABUNDANT = 5_000, 10_000_000  # units on sale
DRAIN_S = 120.0
PERCENTILES = (50.0, 95.0, 99.0)


@dataclass(frozen=True)
class SaleShape:
    """A load, without the server and the sale."""

    stock: int
    callers: int
    seconds: float
    ramp_s: float = 0.0
    sell_out_within_s: float = 0.0  # unless it is 0, the seconds begin when the stock is sold out

    @property
    def lasts(self) -> str:
        """How long, in words."""
        ramp = f" ({self.ramp_s:g} s ramp)" if self.ramp_s else ""
        until = f"until sold out, {self.sell_out_within_s:g} s at most, and then " if self.sell_out_within_s else ""
        return f"{until}{self.seconds:g} s{ramp}"

    @property
    def label(self) -> str:
        """All of it in words."""
        return f"{self.callers:,} callers, {self.stock:,} units, {self.lasts}"

    def load(self, address: str, sale_id: str) -> SaleLoad:
        """The same with both."""
        return SaleLoad(address, sale_id, self.callers, self.seconds, self.ramp_s, 0.0, self.sell_out_within_s)


@dataclass(frozen=True)
class Cpu:
    """CPU seconds for a thousand answers, from the beginning of the load until the last order is recorded."""

    programs: float
    stores: float


@dataclass(frozen=True)
class MeasuredSale:
    """The results of one load on one strategy."""

    books: Books
    answers: int
    errors: dict[str, int]
    answers_per_s: float
    sold_out_after_s: float | None
    accepted_ms: dict[str, float]  # percentiles
    sold_out_ms: dict[str, float]
    cpu_s_per_1000: Cpu
    on_disk: str

    @property
    def accepted_per_s(self) -> float:
        """Units sold a second, while there were any."""
        return self.books.told / (self.sold_out_after_s or self._seconds)

    @property
    def sold_out_per_s(self) -> float | None:
        """Answers a second after that; None if it was not sold out."""
        if self.sold_out_after_s is None:
            return None
        return (self.answers - self.books.told) / (self._seconds - self.sold_out_after_s)

    @property
    def _seconds(self) -> float:
        """From the first call to the last answer."""
        return self.answers / self.answers_per_s


@dataclass(frozen=True)
class Cell:
    """What one load on one strategy came to, or why it failed."""

    strategy: str
    shape: SaleShape
    measured: MeasuredSale | None
    failure: str = ""


def measure(system: System, shape: SaleShape, sale_id: str, folder: Path) -> MeasuredSale:
    """Put a load on a new sale, and count once its last order is recorded."""
    books.create_sale(system, sale_id, shape.stock)
    parts = system.programs().values(), system.stores().values()
    with loading(shape.load(system.address, sale_id), folder) as running:
        before = [cpu_s(pids) for pids in parts]
        running.begin()
        outcome = running.outcome()
    counted = books.count(system, sale_id, shape.stock, outcome, DRAIN_S)
    spent = [cpu_s(pids) - spent_before for pids, spent_before in zip(parts, before, strict=True)]
    thousands = max(outcome.answers, 1) / 1000
    cpu = Cpu(*(seconds / thousands for seconds in spent))
    return measured(outcome, counted, cpu, system.answer_is_on_disk())


def measured(outcome: Outcome, counted: Books, cpu: Cpu, on_disk: str) -> MeasuredSale:
    """The row of a load that has ended."""
    return MeasuredSale(
        books=counted,
        answers=outcome.answers,
        errors=outcome.failures,
        answers_per_s=outcome.answers / outcome.seconds,
        sold_out_after_s=outcome.sold_out_after_s,
        accepted_ms=percentiles(outcome.accepted_ms),
        sold_out_ms=percentiles(outcome.sold_out_ms),
        cpu_s_per_1000=cpu,
        on_disk=on_disk,
    )


def percentiles(latencies_ms: Sequence[float]) -> dict[str, float]:
    """The three of the tables; empty if there are no latencies."""
    ordered = sorted(latencies_ms)
    return {f"p{percent:g}": percentile(ordered, percent) for percent in PERCENTILES} if ordered else {}
