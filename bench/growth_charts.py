"""Charts of what a reservation costs while one thing grows: on the page of results, and as files beside the docs."""

from collections.abc import Mapping

from bench.result_files import Results
from bench.svg import Series, chart, legend, standalone

PROCESSES = {"serve": "server", "valkey": "Redis"}


def growth_chart(growth: Results, kind: str, *, named: bool = False) -> str:
    """The CPU of server and Redis over one thing that grows; `named` says whether the lines bear their names."""
    points = growth["points"][kind]
    sizes = [point["of"] for point in points]
    costs = {name: [point["cpu_us"][process] for point in points] for process, name in PROCESSES.items()}
    lines = [Series(name, sizes, cost, dots=True) for name, cost in costs.items()]
    title, is_log = growth["titles"][kind], min(sizes) > 0
    return chart(title, "", "CPU us a reservation", lines, log_x=is_log, named=named)


def chart_with_legend(growth: Results, kind: str) -> str:
    """The same for a page of HTML."""
    return growth_chart(growth, kind) + legend(list(PROCESSES.values()))


def chart_files(growth: Results) -> Mapping[str, str]:
    """Each chart as an SVG of its own, by the name of its file."""
    return {f"growth-{kind}.svg": standalone(growth_chart(growth, kind, named=True)) for kind in growth["points"]}


def chart_links(growth: Results) -> list[str]:
    """The lines of Markdown that show them."""
    return [f"![{growth['titles'][kind]}](performance/growth-{kind}.svg)" for kind in growth["points"]]
