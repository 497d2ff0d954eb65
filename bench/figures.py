"""Writes the tables of docs/performance.md from the JSONs beside it, and checks that each figure there is from one.

A table lies between `<!-- table: NAME -->` and `<!-- end -->`. Any other figure of the page is a link to its place in a
JSON, for example `[0.84](performance/paired.json#h2load.this.accepted)`, of which it has the digits that it shows.
"""

import argparse
import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.machine import ROOT

PAGE = ROOT / "docs" / "performance.md"
FOLDER = ROOT / "docs" / "performance"
RESULTS = ROOT / "bench" / "results"
TABLE = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
FIGURE = re.compile(r"\[([^\]]+)\]\(performance/([\w.-]+\.json)#([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)
LINK = re.compile(r"\]\([^)]*\)")
SHAPES = ("steady", "spike", "ramp", "abundant", "sold-out", "many-sales", "cart")
HEAD_LINES = 2  # of a table in Markdown
LEAST_SHARE = 0.02  # of a process' CPU, to be named
Results = Mapping[str, Any]


class BadPage(ValueError):
    """The page says what no JSON says; the message names it."""


def read_results(folder: Path) -> dict[str, Results]:
    """Every JSON of a folder, by name."""
    return {file.stem: json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))}


def shapes_table(results: Mapping[str, Results]) -> list[str]:
    """A row a shape."""
    columns = ["shape", "calls", "failed", "calls/s", "p50 ms", "p99 ms", "p99.9 ms", "ledger behind, p99 s"]
    columns += ["caught up after, s", "server CPU us/call", "Redis CPU us/call"]
    rows = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for name in SHAPES:
        if name in results:
            rows.append(f"| {' | '.join(_shape_row(results[name]))} |")
    return rows


def _shape_row(result: Results) -> list[str]:
    latency, lag, calls = result["latency_ms"], result["ledger_lag"], result["calls"]
    failed = calls - result["codes"]["OK"]
    tails = [f"{latency[name]:.1f}" for name in ("p50", "p99", "p99.9")]
    cpu = [f"{result['processes'][name]['cpu_s'] / calls * 1e6:.0f}" for name in ("serve", "valkey")]
    behind = [f"{lag['p99_s']:.1f}", f"{lag['caught_up_after_s']:.1f}"]
    return [
        result["shape"]["title"],
        f"{calls:,}",
        f"{failed:,}",
        f"{result['calls_per_s']:,.0f}",
        *tails,
        *behind,
        *cpu,
    ]


def processes_table(results: Mapping[str, Results]) -> list[str]:
    """CPU seconds, and the most memory, of each process by shape."""
    names = [name for name in SHAPES if name in results]
    if not names:
        return []
    processes = list(results[names[0]]["processes"])
    rows = [f"| CPU s, MiB at most | {' | '.join(processes)} |", f"|{'---|' * (len(processes) + 1)}"]
    for name in names:
        used = [results[name]["processes"][process] for process in processes]
        cells = [f"{u['cpu_s']:.1f}, {u['peak_mib']:.0f}" if "peak_mib" in u else f"{u['cpu_s']:.1f}" for u in used]
        rows.append(f"| {results[name]['shape']['title']} | {' | '.join(cells)} |")
    return rows


def sources_table(results: Mapping[str, Results]) -> list[str]:
    """Where each JSON is from."""
    rows = ["| figures | command | machine | commit | taken |", "|---|---|---|---|---|"]
    for name, result in results.items():
        row = (
            f"[{name}](performance/{name}.json)",
            f"`{result['command']}`",
            result["machine"],
            f"`{result['commit']}`",
        )
        rows.append(f"| {' | '.join(row)} | {result['taken'][:10]} |")
    return rows


def growth_table(results: Mapping[str, Results]) -> list[str]:
    """What a reservation costs at each size of what grows."""
    columns = ("what grows", "to", "server CPU us each", "Redis CPU us each", "requests a script call")
    rows = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    growth = results.get("growth", {"points": {}})
    for name, points in growth["points"].items():
        for point in points:
            cpu = [_with_quartiles(point["cpu_us"][one], point["quartiles"][one]) for one in ("serve", "valkey")]
            requests = f"{point['requests_a_script_call']:.1f}"
            rows.append(f"| {growth['titles'][name]} | {point['of']:,} | {' | '.join(cpu)} | {requests} |")
    return rows


def _with_quartiles(median: float, quartiles: Sequence[float]) -> str:
    return f"{median:.0f} ({quartiles[0]:.0f}-{quartiles[1]:.0f})"


def paired_table(results: Mapping[str, Results]) -> list[str]:
    """Each server in proportion to the no-op of its round."""
    columns = (
        "client",
        "server",
        "load",
        "of the no-op",
        "of this",
        "p50 ms",
        "p99 ms",
        "server CPU us/call",
        "Redis CPU",
    )
    rows = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for client, servers in results.get("paired", {"clients": {}})["clients"].items():
        for server, loads in servers.items():
            if isinstance(loads, dict):  # beside them stand the numbers of rounds
                rows += [f"| {client} | {server} | {load} | {_paired(one)} |" for load, one in loads.items()]
    return rows


def _paired(one: Mapping[str, Any]) -> str:
    cells = [_with_spread(one[name], 2) if name in one else "" for name in ("of_the_noop", "of_this")]
    cells += [f"{one['p50_ms']:.1f}", f"{one['p99_ms']:.1f}"]
    cells += [_with_spread(one[name], 0) if name in one else "" for name in ("server_cpu_us", "redis_cpu_us")]
    return " | ".join(cells)


def _with_spread(values: Mapping[str, float], digits: int) -> str:
    return f"{values['median']:.{digits}f} ({values['first']:.{digits}f}-{values['third']:.{digits}f})"


def profiles_table(results: Mapping[str, Results]) -> list[str]:
    """The packages in which each process spends most of its CPU."""
    profiles = results.get("profiles")
    rows = ["| process | share of its CPU |", "|---|---|"]
    if profiles:
        shares: dict[str, Mapping[str, float]] = {}
        for name, one in profiles["processes"].items():
            shares |= {name: one["packages"], f"{name}, by thread": one["threads"]}
        for name, packages in {**shares, "Redis": profiles["redis"]}.items():
            most = [f"{package} {share:.0%}" for package, share in packages.items() if share >= LEAST_SHARE]
            rows.append(f"| {name} | {', '.join(most)} |")
    return rows


TABLES: Mapping[str, Callable[[Mapping[str, Results]], Sequence[str]]] = {
    "shapes": shapes_table,
    "processes": processes_table,
    "paired": paired_table,
    "growth": growth_table,
    "profiles": profiles_table,
    "sources": sources_table,
}


def with_tables(page: str, results: Mapping[str, Results]) -> str:
    """The page with every table written anew; BadPage if one is unknown or would be empty."""

    def written(found: re.Match[str]) -> str:
        if found[2] not in TABLES:
            raise BadPage(f"there is no table {found[2]}; there are {', '.join(TABLES)}")
        rows = [f"{row}\n" for row in TABLES[found[2]](results)]
        if len(rows) <= HEAD_LINES:
            raise BadPage(f"no JSON has anything for table {found[2]}")
        return "".join([found[1], *rows, found[3]])

    return TABLE.sub(written, page)


def check(page: str, results: Mapping[str, Results]) -> None:
    """BadPage if a table or a figure is not what the JSONs say, or a figure leads to none."""
    if with_tables(page, results) != page:
        raise BadPage("a table differs from the JSONs; run `python -m bench.figures`")
    for shown, file, place in FIGURE.findall(page):
        if not agrees(shown, value_at(results, file.removesuffix(".json"), place)):
            raise BadPage(f"{shown} is not what {file} has at {place}")
    rest = LINK.sub("]", FIGURE.sub("", CODE.sub("", TABLE.sub("", page))))
    if bare := re.search(r".*\d.*", rest):
        raise BadPage(f"a figure leads to no JSON: {bare[0].strip()}")


def value_at(results: Mapping[str, Results], name: str, place: str) -> Any:
    """What a JSON has at a place, whose parts are joined by slashes, or by dots."""
    value: Any = results.get(name)
    for part in place.split("/"):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, TypeError, ValueError):
            raise BadPage(f"{name}.json has nothing at {place}") from None
    return value


def agrees(shown: str, value: object) -> bool:
    """Whether a figure is the value, rounded to the digits that it shows."""
    text = shown.replace(",", "")
    if not isinstance(value, int | float) or not re.fullmatch(r"-?\d+(\.\d+)?", text):
        return shown == str(value)
    digits = len(text.partition(".")[2])
    return f"{value:.{digits}f}" == text


def main() -> int:
    """Write the tables; the exit code is 1 if a figure outside of them has no JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--take", nargs="*", metavar="NAME", help="first copy these results, or all, to the docs")
    arguments = parser.parse_args()
    if arguments.take is not None:
        FOLDER.mkdir(exist_ok=True)
        for file in RESULTS.glob("*.json"):
            if not arguments.take or file.stem in arguments.take:
                shutil.copy(file, FOLDER)
    results = read_results(FOLDER)
    PAGE.write_text(with_tables(PAGE.read_text(), results))
    try:
        check(PAGE.read_text(), results)
    except BadPage as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
