"""The tables of results, in Markdown: for docs/performance.md, the page of results and the terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.markdown import head_of, row_of
from bench.result_files import Results

SHAPES = ("steady", "spike", "ramp", "abundant", "sold-out", "many-sales", "cart")
BESIDE_NOOP = {
    "paired": "Ten connections, each with ten calls in flight",
    "lone": "A lone caller, `--connections 1 --streams 1`",
    "p84": "Eight connections, each with four calls in flight, `--connections 8 --streams 4`",
    "workers": "Ten connections as above, two server processes of each build and one of the no-op, `--workers 2`",
    "at-rate": "Half of the calls a second that *this* accepts from ten connections as above, `--rate 0.5`",
}
SERVERS = ("no-op", "lean no-op", "this", "twin", "other")
LEAST_SHARE = 0.02  # of a process' CPU, to be named


def shapes_table(results: Mapping[str, Results]) -> list[str]:
    """A row a shape."""
    columns = ["shape", "calls", "calls/s", "p50 ms", "p99 ms", "p99.9 ms", "ledger behind, p99 s"]
    columns += ["caught up after, s", "server CPU us/call", "Redis CPU us/call"]
    return head_of(*columns) + [row_of(*_shape_row(results[name])) for name in SHAPES if name in results]


def _shape_row(result: Results) -> list[str]:
    latency, lag, calls = result["latency_ms"], result["ledger_lag"], result["calls"]
    tails = [f"{latency[name]:.1f}" for name in ("p50", "p99", "p99.9")]
    cpu = [f"{result['processes'][name]['cpu_s'] / calls * 1e6:.0f}" for name in ("serve", "valkey")]
    behind = [f"{lag['p99_s']:.1f}", f"{lag['caught_up_after_s']:.1f}"]
    return [
        result["shape"]["title"],
        f"{calls:,}",
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
    rows = head_of("CPU s, MiB at most", *processes)
    for name in names:
        used = [results[name]["processes"][process] for process in processes]
        cells = [f"{u['cpu_s']:.1f}, {u['peak_mib']:.0f}" if "peak_mib" in u else f"{u['cpu_s']:.1f}" for u in used]
        rows.append(row_of(results[name]["shape"]["title"], *cells))
    return rows


def sources_table(results: Mapping[str, Results]) -> list[str]:
    """Where each JSON is from; one that several runs have measured has a row a run."""
    rows = head_of("figures", "command", "machine", "commit", "taken", "other work")
    for name, result in results.items():
        beside = "none" if result.get("alone") else "some"
        for parts, run in runs_of(result):
            link = f"[{name}](performance/{name}.json){parts}"
            taken = (f"`{run['command']}`", run["machine"], f"`{run['commit']}`", run["taken"][:10])
            rows.append(row_of(link, *taken, beside))
    return rows


def runs_of(result: Results) -> list[tuple[str, Results]]:
    """The runs that a result is from, each with what it has measured if there are several."""
    names: dict[str, list[str]] = {}
    for name, run in result.get("runs", {}).items():
        names.setdefault(run["command"], []).append(name)
    if len(names) < 2:
        return [("", result)]
    return [(f": {', '.join(parts)}", result["runs"][parts[0]]) for parts in names.values()]


def growth_table(growth: Results) -> list[str]:
    """What a reservation costs at each size of what grows."""
    first_rows = ("server, of the first row", "Redis, of the first row")
    rows = head_of("what grows", "to", "server CPU us each", "Redis CPU us each", *first_rows, "requests a script call")
    for name, points in growth["points"].items():
        first = points[0]["cpu_us"]
        for point in points:
            cpu = [_with_quartiles(point["cpu_us"][one], point["quartiles"][one]) for one in ("serve", "valkey")]
            to_first = [f"{point['cpu_us'][one] / first[one]:.2f}" for one in ("serve", "valkey")]
            requests = f"{point['requests_a_script_call']:.1f}"
            rows.append(row_of(growth["titles"][name], f"{point['of']:,}", *cpu, *to_first, requests))
    return rows


def _with_quartiles(median: float, quartiles: Sequence[float]) -> str:
    return f"{median:.0f} ({quartiles[0]:.0f}-{quartiles[1]:.0f})"


def beside_noop_tables(results: Mapping[str, Results]) -> list[str]:
    """A table of each comparison with a no-op that is there, under what the load was."""
    lines: list[str] = []
    for name, caption in BESIDE_NOOP.items():
        if name in results:
            table = at_rate_table if "at_rate" in results[name] else paired_table
            lines += [f"{caption}:", "", *table(results[name]), ""]
    return lines[:-1]


def paired_table(paired: Results) -> list[str]:
    """Each server in proportion to the no-op of its round."""
    rows = head_of(
        *("client", "server", "load", "calls/s", "of the no-op", "p50 ms", "p99 ms", "p99.9 ms"),
        *("server CPU us/call", "Redis CPU us/call"),
    )
    for client, taken in paired["clients"].items():
        for server, load, slot in slots_of(taken):
            rows.append(row_of(client, server, load, _rate(slot), _spread(slot, "of_the_noop", 2), *_costs(slot)))
    return rows


def compared_table(paired: Results) -> list[str]:
    """The builds in proportion to this one; the twin's rows show the noise."""
    rows = head_of("in proportion to this", "client", "load", "calls/s", "server CPU", "Redis CPU")
    names = ("of_this", "server_cpu_of_this", "redis_cpu_of_this")
    for client, taken in paired["clients"].items():
        for server, load, slot in slots_of(taken):
            if server in ("twin", "other"):
                rows.append(row_of(server, client, load, *(_spread(slot, name, 2) for name in names)))
    return rows


def at_rate_table(paired: Results) -> list[str]:
    """Each server at one rate, with its p99 in proportion to that of the no-op in its round."""
    rows = head_of(
        *("server", "calls/s", "p50 ms", "p99 ms", "p99.9 ms", "server CPU us/call", "Redis CPU us/call"),
        "p99, of the no-op's",
    )
    if "at_rate" not in paired:
        return []
    for server, _load, slot in slots_of(paired["at_rate"]):
        rows.append(row_of(server, _rate(slot), *_costs(slot), _spread(slot, "p99_of_the_noop", 2)))
    return rows


def slots_of(taken: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Every server and load that a client measured; beside them stand the numbers of rounds."""
    for server in SERVERS:
        for load, slot in taken.get(server, {}).items():
            yield server, load, slot


def _rate(slot: Mapping[str, Any]) -> str:
    return f"{slot['calls_per_s']:,.0f}"


def _costs(slot: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{slot[name]:.1f}" for name in ("p50_ms", "p99_ms", "p99.9_ms"))
    yield from (_spread(slot, name, 0) for name in ("server_cpu_us", "redis_cpu_us"))


def _spread(values: Mapping[str, Any], name: str, digits: int) -> str:
    """A median with its quartiles; empty where there is none."""
    found = values.get(name)
    return "" if found is None else spread_cell(found, digits)


def spread_cell(found: Mapping[str, float], digits: int) -> str:
    """A median with its quartiles."""
    median, first, third = (f"{found[name]:,.{digits}f}" for name in ("median", "first", "third"))
    return f"{median} ({first}-{third})"


def options_table(options: Results) -> list[str]:
    """What each server takes, and in proportion to the one without anything."""
    rows = head_of("server", "calls/s", "server CPU us/call", "server CPU, to off")
    to_off = {pair["of"]: pair for pair in options["pairs"] if pair["to"] == "off"}
    for name, server in options["servers"].items():
        cells = (_spread(server, "calls_per_s", 0), _spread(server, "server_cpu_us", 1))
        rows.append(row_of(name, *cells, _spread(to_off.get(name, {}), "server_cpu", 3)))
    return rows


def profiles_table(profiles: Results) -> list[str]:
    """The packages in which each process spends most of its CPU."""
    rows, shares = head_of("process", "share of its CPU"), dict[str, Mapping[str, float]]()
    for name, one in profiles["processes"].items():
        shares |= {name: one["packages"], f"{name}, by thread": one["threads"]}
    for name, packages in {**shares, "Redis": profiles["redis"]}.items():
        most = [f"{package} {share:.0%}" for package, share in packages.items() if share >= LEAST_SHARE]
        rows.append(row_of(name, ", ".join(most)))
    return rows
