"""What each strategy loses when a part of it is killed or away during a sale.

All strategies run side by side, since nothing is timed here: the six on one Redis and one PostgreSQL, Holdfast on its
own. Each fault comes in the middle of a sale under a light load, which sells out after it. A server is killed under as
much load as there can be, for what it loses is the calls that it has begun.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.strategies import books
from bench.strategies.books import Books
from bench.strategies.callers import Load
from bench.strategies.load_process import loading
from bench.strategies.measuring import DRAIN_S
from bench.strategies.stores import POSTGRES, REDIS, Stores
from bench.strategies.system import SERVER, WORKER, System

CALLERS, THINK_S = 20, 0.2  # some 100 calls a second
OFFERED = 0.6  # units on sale, in proportion to the calls that can be made
ABUNDANT = 10_000_000  # units on sale where callers do not pause


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
    def faults(self) -> Sequence[Fault]:
        """In the order of the table."""
        return (
            Fault("Redis killed", REDIS, 1.0),
            Fault("worker killed", WORKER, 1.0),
            Fault("server killed", SERVER, 1.0, think_s=0.0),
            Fault(f"PostgreSQL away for {self.postgres_down_s:g} s", POSTGRES, self.postgres_down_s),
        )


@dataclass(frozen=True)
class Loss:
    """The books of a sale with a fault in it."""

    strategy: str
    fault: str
    books: Books
    errors: int


def losses(
    systems: Sequence[System], stores: Stores, course: Course, folder: Path, progress: Callable[[str], None]
) -> Iterator[Loss]:
    """Every fault in turn, on each strategy that has the part."""
    for number, fault in enumerate(course.faults):
        progress(f"losses: {fault.name}")
        struck = [system for system in systems if system.uses(fault.part)]
        yield from one_fault(number, fault, struck, stores, course, folder)


def one_fault(
    number: int, fault: Fault, systems: Sequence[System], stores: Stores, course: Course, folder: Path
) -> Iterator[Loss]:
    """A sale on each of the strategies, with the fault in it."""
    seconds = course.before_s + fault.down_s + course.after_s
    stock = fault.stock(seconds)
    sales = {system.name: f"fault-{number}-{system.name}" for system in systems}
    for system in systems:
        books.create_sale(system, sales[system.name], stock)
    stores.save()
    with ExitStack() as held:
        wanted = [Load(each.address, sales[each.name], CALLERS, seconds, think_s=fault.think_s) for each in systems]
        loads = [held.enter_context(loading(load, folder)) for load in wanted]
        for load in loads:
            load.wait_until_begun()
        time.sleep(course.before_s)
        _strike(fault, systems, stores)
        outcomes = [load.outcome() for load in loads]
    for system, outcome in zip(systems, outcomes, strict=True):
        counted = books.count(system, sales[system.name], stock, outcome, DRAIN_S)
        yield Loss(system.name, fault.name, counted, sum(outcome.failures.values()))


def _strike(fault: Fault, systems: Sequence[System], stores: Stores) -> None:
    """Kill the part of every strategy, wait, and start it again."""
    shared = [stores] if fault.part in stores.servers else []
    parts: list[System | Stores] = [*shared, *(each for each in systems if not shared or each.owns_stores)]
    for each in parts:
        each.kill(fault.part)
    time.sleep(fault.down_s)
    for each in parts:
        each.restore(fault.part)
