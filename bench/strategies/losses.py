"""What each strategy loses when a part of it is killed or away during a sale.

All strategies run side by side, since nothing is timed here: the six on one Redis and one PostgreSQL, Holdfast on its
own. Each fault comes in the middle of a sale under a light load, which goes on until the sale is sold out. A server is
killed under as much load as there can be, for what it loses is the calls that it has begun.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.strategies import books
from bench.strategies.attempts import Attempts
from bench.strategies.books import Books
from bench.strategies.callers import Outcome, SaleLoad
from bench.strategies.catalog import POSTGRES, REDIS, SERVER, WORKER
from bench.strategies.load_process import loading
from bench.strategies.measuring import ABUNDANT, DRAIN_S
from bench.strategies.stores import Stores
from bench.strategies.system import System

CALLERS, THINK_S = 20, 0.2  # some 100 calls a second
OFFERED = 0.6  # units on sale, in proportion to the calls that can be made
SELL_OUT_S = 60.0  # for what could not be sold during the fault


@dataclass(frozen=True)
class Fault:
    """A part that is killed, and how long it stays down."""

    name: str
    part: str
    down_s: float
    think_s: float = THINK_S

    def stock(self, seconds: float) -> int:
        """The units on sale."""
        return round(OFFERED * seconds * CALLERS / self.think_s) if self.think_s else ABUNDANT


@dataclass(frozen=True)
class Course:
    """The time before the fault and after it."""

    before_s: float = 2.0
    after_s: float = 5.0
    postgres_down_s: float = 10.0

    @property
    def server_killed(self) -> Fault:
        """The one that every strategy has, and whose part comes back soonest."""
        return Fault("server killed", SERVER, 1.0, think_s=0.0)

    @property
    def faults(self) -> Sequence[Fault]:
        """In the order of the table."""
        return (
            Fault("Redis killed", REDIS, 1.0),
            Fault("worker killed", WORKER, 1.0),
            self.server_killed,
            Fault(f"PostgreSQL away for {self.postgres_down_s:g} s", POSTGRES, self.postgres_down_s),
        )


@dataclass(frozen=True)
class Loss:
    """The books of a sale with a fault in it, or why there are none."""

    strategy: str
    fault: str
    books: Books | None
    errors: int = 0  # calls that failed
    failure: str = ""


class FaultRun:
    """A sale on each of several systems, with one fault in all of them."""

    def __init__(self, fault: Fault, course: Course, folder: Path) -> None:
        self._fault = fault
        self._course = course
        self._folder = folder
        self._stock = fault.stock(course.before_s + fault.down_s + course.after_s)

    def losses(self, systems: Sequence[System], stores: Stores) -> list[Loss]:
        """What each has lost; the six's stores are those that were given."""
        attempts = Attempts()
        attempts.each(systems, lambda system: books.create_sale(system, self._sale(system), self._stock))
        stores.save()
        with ExitStack() as held:
            loads = attempts.each(systems, lambda system: held.enter_context(loading(self._load(system), self._folder)))
            attempts.each(systems, lambda system: loads[system.name].begin())
            time.sleep(self._course.before_s)
            _strike(self._fault, systems, stores)
            outcomes = attempts.each(systems, lambda system: loads[system.name].outcome())
        counted = attempts.each(systems, lambda system: self._loss(system, outcomes[system.name]))
        failed = {name: Loss(name, self._fault.name, None, 0, why) for name, why in attempts.failures.items()}
        rows = {**counted, **failed}
        return [rows[system.name] for system in systems]

    def _load(self, system: System) -> SaleLoad:
        """Until it is sold out and a while longer, or, where callers do not pause, until some time after the fault."""
        fault, course = self._fault, self._course
        seconds = course.before_s + fault.down_s + course.after_s
        if not fault.think_s:
            return SaleLoad(system.address, self._sale(system), CALLERS, seconds)
        return SaleLoad(
            *(system.address, self._sale(system), CALLERS, course.after_s),
            think_s=fault.think_s,
            sell_out_within_s=seconds + SELL_OUT_S,
        )

    def _loss(self, system: System, outcome: Outcome) -> Loss:
        counted = books.count(system, self._sale(system), self._stock, outcome, DRAIN_S)
        return Loss(system.name, self._fault.name, counted, sum(outcome.failures.values()))

    def _sale(self, system: System) -> str:
        return f"{self._fault.part}-{system.name}"


def _strike(fault: Fault, systems: Sequence[System], stores: Stores) -> None:
    """Kill the part of every strategy, wait, and start it again."""
    shared = [stores] if fault.part in stores.servers else []
    parts: list[System | Stores] = [*shared, *(each for each in systems if not shared or each.owns_stores)]
    for each in parts:
        each.kill(fault.part)
    time.sleep(fault.down_s)
    for each in parts:
        each.restore(fault.part)
