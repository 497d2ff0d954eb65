"""The tables of what the ledger's way costs: draining a backlog, its lag, idling, and memory."""

from collections.abc import Callable, Iterator, Mapping

from bench.markdown import head_of, row_of
from bench.result_files import Results
from bench.tables import spread_cell

# The goals.
UNARY_SHARE, EARLIER_SHARE, HOLD_BYTES, PROCESS_MIB = 1.5, 1.6, 450, 300
LAG_MS, LAG_RATE = 500, 2000
IDLE_PERCENT = 4
HOLDFAST = ("serve", "relay", "persist", "compensate")


def goals_table(results: Mapping[str, Results]) -> list[str]:
    """Each figure that has a goal, beside it, and whether it is met."""
    return head_of("figure", "goal", "measured", "") + [row_of(*cells) for cells in _goals(results)]


def _goals(results: Mapping[str, Results]) -> Iterator[tuple[str, str, str, str]]:
    if drain := results.get("drain"):
        this = drain["builds"]["this"]
        yield _at_least("drained a second, of unary Reserve calls a second", UNARY_SHARE, this["of_unary"])
        if "of_other" in this:
            yield _at_least(f"drained a second, of {drain['other_commit']}", EARLIER_SHARE, this["of_other"])
    if lag := results.get("lag"):
        figure, measured = f"p99 of the lag at {lag['rate']:,.0f} calls a second, ms", lag["lag_ms"]["p99"]
        yield _at_most(figure, LAG_MS, measured, f", at {LAG_RATE:,} calls a second")
    if idle := results.get("idle"):
        together = idle["percent"]["together"]
        yield _at_most("% of a core while nothing is sold", IDLE_PERCENT, together, digits=2)
    if hold := results.get("hold-memory"):
        yield _at_most("bytes of Redis a live hold", HOLD_BYTES, hold["bytes_a_hold"]["together"])
    if memory := results.get("memory"):
        most = max(memory["mib"][name]["most"] for name in HOLDFAST)
        yield _at_most("MiB that a process of Holdfast takes at most", PROCESS_MIB, most)


def _at_least(figure: str, goal: float, measured: Mapping[str, float]) -> tuple[str, str, str, str]:
    return figure, f"at least {goal:g}", spread_cell(measured, 2), "met" if measured["median"] >= goal else "**missed**"


def _at_most(figure: str, goal: float, measured: float, where: str = "", digits: int = 0) -> tuple[str, str, str, str]:
    is_met = "met" if measured <= goal else "**missed**"
    return figure, f"at most {goal:g}{where}", f"{measured:,.{digits}f}", is_met


def drain_table(drain: Results) -> list[str]:
    """Each build, with the unary calls of the same rounds above."""
    rows = head_of(
        *(f"rounds: {drain['rounds']}", "a second", "of unary calls", "of the other build"),
        *("persister CPU us each", "PostgreSQL CPU us each", "persister MiB at most"),
    )
    rows.append(row_of("unary Reserve calls", spread_cell(drain["unary_per_s"], 0), *[""] * 5))
    for name, build in drain["builds"].items():
        shares = (spread_cell(build[share], 2) if share in build else "" for share in ("of_unary", "of_other"))
        used = (spread_cell(build[what], 1) for what in ("persister_us", "postgres_us"))
        rate, memory = spread_cell(build["per_s"], 0), spread_cell(build["memory_mib"], 0)
        rows.append(row_of(f"drained by {name}", rate, *shares, *used, memory))
    return rows


def delay_table(lag: Results) -> list[str]:
    """Percentiles of the whole lag and of its two parts."""
    rows = head_of("ms", *lag["lag_ms"])
    parts = {
        "a reservation, from Redis to the ledger": "lag_ms",
        "a commit, until the relay sends it": "relay_ms",
        "a commit, from there to the ledger": "persister_ms",
    }
    for name, part in parts.items():
        rows.append(row_of(name, *(f"{value:,.0f}" for value in lag[part].values())))
    return rows


def idle_table(idle: Results) -> list[str]:
    """Percent of a core by process, and which commands Redis gets."""
    rows = head_of("while nothing is sold", "")
    rows += [row_of(f"{name}, % of a core", f"{share:.2f}") for name, share in idle["percent"].items()]
    commands = ", ".join(f"{name} {rate:.0f}" for name, rate in idle["commands_a_second"].items())
    return [*rows, row_of(f"Redis' commands a second, of {idle['shards']} shards", commands)]


def memory_table(memory: Results) -> list[str]:
    """MiB of each process over a run."""
    rows = head_of("resident MiB", "at the start", "at most", "at the end")
    for name, taken in memory["mib"].items():
        rows.append(row_of(name, *(f"{taken[when]:.0f}" for when in ("first", "most", "last"))))
    return rows


def hold_table(hold: Results) -> list[str]:
    """Bytes of Redis a live hold, by where they lie."""
    rows = head_of("bytes of Redis a live hold", "")
    return rows + [row_of(name, f"{size:,.0f}") for name, size in hold["bytes_a_hold"].items()]


TABLES: Mapping[str, Callable[[Results], list[str]]] = {
    "drain": drain_table,
    "lag": delay_table,
    "idle": idle_table,
    "memory": memory_table,
    "hold-memory": hold_table,
}
