"""The rounds of `bench.paired` as JSON: of each server and load the median, and ratios with their quartiles."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from holdfast_bench.load import Report

from bench.machine import command_line, commit_of, provenance
from bench.rounds import quartiles, ratios

PERCENTILES = (50.0, 99.0, 99.9)
PROCESSES = ("server", "redis")
Key = tuple[str, str]  # a server and a load


class Measured(Protocol):
    """What one server was measured with in a round."""

    @property
    def report(self) -> Report:
        """The load's report."""

    @property
    def cpu_us(self) -> Sequence[float]:
        """A call, of each of its processes."""


Rounds = Sequence[Mapping[Key, Measured]]


def write_json(file: Path, taken: Mapping[str, tuple[Rounds, int]], base: Key, other: Path | None) -> None:
    """Write what all clients measured; every audit has found no difference."""
    head = provenance(command_line("bench.paired"))
    compared = {"other_commit": commit_of(other)} if other else {}
    clients = {
        client: {"rounds": len(rounds), "disturbed": disturbed, **of_client(rounds, base)}
        for client, (rounds, disturbed) in taken.items()
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**head, **compared, "clients": clients}, indent=1) + "\n")


def of_client(rounds: Rounds, base: Key) -> dict[str, dict[str, Any]]:
    """By server and load."""
    servers: dict[str, dict[str, Any]] = {}
    for server, load in rounds[0]:
        servers.setdefault(server, {})[load] = _slot(rounds, (server, load), base)
    return servers


def _slot(rounds: Rounds, key: Key, base: Key) -> dict[str, Any]:
    reports = [one[key].report for one in rounds]
    cpu = zip(*(one[key].cpu_us for one in rounds), strict=True)
    return {
        "calls_per_s": round(statistics.median(report.calls_per_s for report in reports), 1),
        "of_the_noop": _spread(ratios(rounds, key, base, _rate)),
        **{f"p{percent:g}_ms": _median_percentile(reports, percent) for percent in PERCENTILES},
        **{f"{name}_cpu_us": _spread(list(values), 1) for name, values in zip(PROCESSES, cpu, strict=False)},
        **_beside_this(rounds, key),
    }


def _beside_this(rounds: Rounds, key: Key) -> dict[str, Any]:
    """In proportion to this checkout's server under the same load, where there is one."""
    this = ("this", key[1])
    return {"of_this": _spread(ratios(rounds, key, this, _rate))} if this in rounds[0] else {}


def _rate(measured: Measured) -> float:
    return measured.report.calls_per_s


def _median_percentile(reports: Sequence[Report], percent: float) -> float:
    return round(statistics.median(report.percentile_ms(percent) for report in reports), 2)


def _spread(values: Sequence[float], digits: int = 3) -> dict[str, float]:
    first, median, third = quartiles(values)
    return {"median": round(median, digits), "first": round(first, digits), "third": round(third, digits)}
