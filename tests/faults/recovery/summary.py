"""A table of how the combinations of stores ended, for the end of a run of all of them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

NAMES = re.compile(r"\[redis-(\S+) postgres-(\S+) kafka-(\S+)\]$")


class Ended(NamedTuple):
    """A test and how it ended."""

    node_id: str
    outcome: str  # passed or failed
    duration_s: float


def summary(tests: Iterable[Ended]) -> Iterator[str]:
    """A line for each pair of fates of Redis and PostgreSQL, with a column for each of Kafka's."""
    cells: dict[tuple[str, str], dict[str, str]] = {}
    columns: list[str] = []
    for test in tests:
        names = NAMES.search(test.node_id)
        if names is None:
            continue
        redis, postgres, kafka = names.groups()
        columns += [kafka] if kafka not in columns else []
        cells.setdefault((redis, postgres), {})[kafka] = f"{test.outcome} {test.duration_s:.0f} s"
    if cells:
        yield _line(
            "redis", "postgres", dict(zip(columns, (f"kafka {name}" for name in columns), strict=True)), columns
        )
        for (redis, postgres), outcomes in cells.items():
            yield _line(redis, postgres, outcomes, columns)


def _line(redis: str, postgres: str, outcomes: Mapping[str, str], columns: Iterable[str]) -> str:
    return f"{redis:11}{postgres:11}" + "".join(f"{outcomes.get(name, '-'):17}" for name in columns).rstrip()
