"""Makes one HTML page, without external resources, of a folder of results: distributions, and values over time."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from bench.arguments import parser_of
from bench.growth_charts import chart_with_legend
from bench.result_files import RESULTS, Results, read_results
from bench.svg import STYLE as CHART_STYLE
from bench.svg import Series, chart, legend
from bench.tables import SHAPES, processes_table, shapes_table, sources_table

STYLE = Path(__file__).with_name("page.css")


def page(results: Mapping[str, Results]) -> str:
    """The page of all results."""
    shapes = [results[name] for name in SHAPES if name in results]
    body = [
        "<h1>Holdfast under load</h1>",
        html_table(shapes_table(results)),
        html_table(processes_table(results)),
        *(part for result in shapes for part in _shape(result)),
        *_growth(results.get("growth")),
        "<h2>Where the figures are from</h2>",
        html_table(sources_table(results)),
    ]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    style = f"<style>{CHART_STYLE.read_text()}{STYLE.read_text()}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}<title>Holdfast under load</title>{style}</head>\n' + (
        "<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def html_table(rows: Sequence[str]) -> str:
    """A table of Markdown as HTML."""
    if not rows:
        return ""
    cells = [[_plain(cell.strip()) for cell in row.strip("|").split("|")] for row in rows]
    head = "".join(f"<th>{cell}</th>" for cell in cells[0])
    lines = ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in cells[2:]]
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def _plain(cell: str) -> str:
    """A cell without links and code marks."""
    return escape(re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", cell).replace("`", ""))


def _shape(result: Results) -> Iterator[str]:
    """The section of one shape."""
    shape = result["shape"]
    yield f"<h2>{escape(shape['title'])}</h2>"
    yield f'<p class="about">{escape(shape["summary"])} Audit: {escape(result["audit"])}</p>'
    charts = (_distribution(result), *_over_time(result["over_time"]), *_lag(result["ledger_lag"]))
    yield f'<div class="charts">{"".join(f"<figure>{one}</figure>" for one in charts)}</div>'


def _distribution(result: Results) -> str:
    """The share of calls in each step of latency."""
    bounds, counts = zip(*result["histogram"], strict=True)
    total = sum(counts)
    shares = [100 * count / total for count in counts]
    return chart("Latencies", "ms", "% of calls", [Series("calls", bounds, shares)], log_x=True)


def _over_time(table: Mapping[str, Any]) -> Iterator[str]:
    step, whole = table["step_s"], max(1, len(table["ok"]) - 1)  # the last step is not over when the last call ends
    xs = [number * step for number in range(whole)]
    answered = Series("answered", xs, [count / step for count in table["ok"][:whole]])
    yield chart("Throughput", "s", "calls/s", [answered])
    tails = [Series(name, xs, table[f"{name}_ms"][:whole]) for name in ("p50", "p99")]
    yield chart("Latency over time", "s", "ms", tails) + legend([line.name for line in tails])


def _lag(table: Mapping[str, Any]) -> Iterator[str]:
    xs = [number * table["step_s"] for number in range(len(table["commits"]))]
    yield chart("Ledger behind", "s", "seconds", [Series("seconds", xs, table["seconds"])])
    yield chart("Ledger behind", "s", "commits", [Series("commits", xs, table["commits"])])


def _growth(growth: Results | None) -> Iterator[str]:
    """What a reservation costs while one thing grows and all else stays."""
    if growth is None:
        return
    yield "<h2>Growth</h2>"
    charts = [chart_with_legend(growth, kind) for kind in growth["points"]]
    yield f'<div class="charts">{"".join(f"<figure>{one}</figure>" for one in charts)}</div>'


def main() -> int:
    """Write the page beside the results."""
    parser = parser_of(__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=RESULTS, help="of the JSONs (%(default)s)")
    folder = parser.parse_args().folder
    results = read_results(folder)
    if not results:
        print(f"there is no JSON in {folder}", file=sys.stderr)
        return 1
    (folder / "index.html").write_text(page(results))
    print(folder / "index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
