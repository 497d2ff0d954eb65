"""Loads on servers: what a call took of each process, unless the load failed or other work disturbed it."""

import itertools
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any

from holdfast_bench import ghz
from holdfast_bench.load import Load, LoadFailed, Report

from bench import h2load
from bench.builds import ACCEPTED, smallest_answer
from bench.cpu import CpuWatch
from bench.markdown import head_of, row_of
from bench.rounds import RoundDisturbed, ratios, spread

CLIENTS: Mapping[str, ModuleType] = {"h2load": h2load, "ghz": ghz}


class ReserveCalls:
    """Reserve calls to one sale of one server, each under new ids."""

    def __init__(self, address: str, sale_id: str = ACCEPTED, token: str = "") -> None:
        self.smallest_answer = smallest_answer(address, sale_id, token)
        self._load = Load(address, sale_id, 0, 0.0, smallest_answer=self.smallest_answer, token=token)
        self._series = itertools.count(1)
        self.answered = 0  # reservations, by all loads together
        self.unheard = 0.0  # at most so many more were made: h2load does not wait for its last calls

    def send(self, seconds: float, client: str = "h2load", **changes: Any) -> Report:
        """Put a load on the server, of 100 calls in flight unless `changes` say otherwise; LoadFailed if calls fail."""
        return self._run(client, replace(self._load, seconds=seconds, **changes))

    def send_at_a_rate(self, seconds: float, per_s: float) -> Report:
        """The same by h2load, whether or not earlier calls are answered."""
        return self._run("h2load", h2load.at_a_rate(replace(self._load, seconds=seconds), per_s))

    def send_batches(self, seconds: float, size: int, **changes: Any) -> Report:
        """Put BatchReserve calls of so many on the server, by h2load; LoadFailed if calls or reservations fail."""
        load = replace(self._load, seconds=seconds, smallest_answer=size * self.smallest_answer, **changes)
        return self._counted(load, size, partial(h2load.run, batch=size))

    def _run(self, client: str, load: Load) -> Report:
        return self._counted(load, 1, CLIENTS[client].run)

    def _counted(self, load: Load, size: int, run: Callable[[Load], Report]) -> Report:
        self.unheard += load.connections * load.streams * size
        try:
            report = run(replace(load, series=next(self._series)))
        except LoadFailed:
            self.unheard = math.inf
            raise
        self.answered += report.calls * size
        return report


@dataclass(frozen=True)
class Measured:
    """One load on one server."""

    report: Report
    cpu_us: Sequence[float]  # a call, of the server and of its Redis

    @property
    def calls_per_s(self) -> float:
        """Calls a second."""
        return self.report.calls_per_s

    @property
    def server_us(self) -> float:
        """CPU of the server, a call."""
        return self.cpu_us[0]


@dataclass
class Taken:
    """What a block took; filled at its end."""

    seconds: float = 0.0
    cpu_s: Sequence[float] = ()  # of each group of processes
    own_cpu_s: float = 0.0  # of this process and the load generators

    def measured(self, report: Report) -> Measured:
        """The same a call."""
        return Measured(report, [cpu_s / report.calls * 1e6 for cpu_s in self.cpu_s])


@contextmanager
def undisturbed(name: str, groups: Sequence[Sequence[int]], most_foreign: float) -> Iterator[Taken]:
    """Measure groups of processes inside the block; RoundDisturbed if its load fails or other work takes too much.

    `most_foreign` are the CPUs that all other processes and the machine's host may take together.
    """
    taken, began = Taken(), time.monotonic()
    watch = CpuWatch([pid for pids in groups for pid in pids])
    try:
        yield taken
    except LoadFailed as error:
        raise RoundDisturbed(f"{name}: {error}") from None
    spent = watch.spent()
    taken.seconds = time.monotonic() - began
    if (foreign := (spent.others + spent.stolen) / taken.seconds) > most_foreign:
        raise RoundDisturbed(f"{name}: other work and the host took {foreign:.2f} of a CPU")
    by_process = iter(spent.by_process)
    taken.own_cpu_s = spent.own
    taken.cpu_s = [sum(itertools.islice(by_process, len(pids))) for pids in groups]


def server_table(
    rounds: Sequence[Mapping[str, Measured]], names: Sequence[str], pairs: Sequence[tuple[str, str]]
) -> Iterator[str]:
    """Rate and CPU of each server or kind of load, and of pairs of them the one in proportion to the other."""
    values: Sequence[Callable[[Measured], float]] = (lambda each: each.calls_per_s, lambda each: each.server_us)
    yield from head_of("", "calls/s", "server CPU us/call")
    for name in names:
        yield row_of(name, *(spread([value(each[name]) for each in rounds], 0) for value in values))
    for name, other in pairs:
        proportions = (spread(ratios(rounds, name, other, value), 3) for value in values)
        yield row_of(f"{name} in proportion to {other}", *proportions)


def found_clients() -> Sequence[str]:
    """The load generators that are installed; LoadFailed if none is."""
    missing = {name: why for name, each in CLIENTS.items() if (why := each.missing())}
    found = [name for name in CLIENTS if name not in missing]
    if not found:
        raise LoadFailed("; ".join(missing.values()))
    for why in missing.values():
        print(f"measuring with {', '.join(found)} alone: {why}", file=sys.stderr)
    return found
