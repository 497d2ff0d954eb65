"""Writes tables and charts of docs/performance.md from the JSONs beside it, and checks that each figure is from one.

A table lies between `<!-- table: NAME -->` and `<!-- end -->`. Any other figure of the page is a link to its place in a
JSON, for example `[0.84](performance/paired.json#h2load.this.accepted)`, of which it has the digits that it shows.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.arguments import parser_of
from bench.growth_charts import chart_files, chart_links
from bench.ledger_tables import TABLES as LEDGER_TABLES
from bench.ledger_tables import goals_table
from bench.machine import ROOT
from bench.result_files import RESULTS, Results, read_results, take_results
from bench.tables import (
    beside_noop_tables,
    growth_table,
    options_table,
    processes_table,
    profiles_table,
    shapes_table,
    sources_table,
)

PAGE = ROOT / "docs" / "performance.md"
FOLDER = ROOT / "docs" / "performance"
TABLE = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
FIGURE = re.compile(r"\[([^\]]+)\]\((?:performance/)?([\w.-]+\.json)#([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)
LINK = re.compile(r"\]\([^)]*\)")
HEAD_LINES = 2  # of a table in Markdown


class BadPage(ValueError):
    """The page says what no JSON says; the message names it."""


Table = Callable[[Mapping[str, Results]], Sequence[str]]


def of_one(name: str, table: Callable[[Results], Sequence[str]]) -> Table:
    """The table of one result; no rows if it is not there."""
    return lambda results: table(results[name]) if name in results else []


TABLES: Mapping[str, Table] = {
    "shapes": shapes_table,
    "processes": processes_table,
    "beside-noop": beside_noop_tables,
    "options": of_one("options", options_table),
    "growth": of_one("growth", growth_table),
    "growth-charts": of_one("growth", chart_links),
    "profiles": of_one("profiles", profiles_table),
    "ledger-goals": goals_table,
    **{name: of_one(name, table) for name, table in LEDGER_TABLES.items()},
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
    check_figures(TABLE.sub("", page), results)


def check_figures(text: str, results: Mapping[str, Any]) -> None:
    """BadPage if a figure of a text is not what a JSON has at its place, or leads to none."""
    for shown, file, place in FIGURE.findall(text):
        if not agrees(shown, found := value_at(results, file.removesuffix(".json"), place)):
            raise BadPage(f"{shown} is not what {file} has at {place}: {found}")
    rest = LINK.sub("]", FIGURE.sub("", CODE.sub("", text)))
    if bare := re.search(r".*\d.*", rest):
        raise BadPage(f"a figure leads to no JSON: {bare[0].strip()}")


def value_at(results: Mapping[str, Any], name: str, place: str) -> Any:
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
    parser = parser_of(__doc__)
    parser.add_argument("--take", nargs="*", metavar="NAME", help="first copy these results, or all, to the docs")
    parser.add_argument("--alone", action="store_true", help="nothing else ran beside those that are taken")
    arguments = parser.parse_args()
    if arguments.take is not None:
        take_results(RESULTS, FOLDER, arguments.take, alone=arguments.alone)
    results = read_results(FOLDER)
    for name, drawn in chart_files(results["growth"]).items():
        (FOLDER / name).write_text(drawn)
    try:
        PAGE.write_text(with_tables(PAGE.read_text(), results))
        check(PAGE.read_text(), results)
    except BadPage as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
