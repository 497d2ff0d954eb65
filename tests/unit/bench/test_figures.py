"""docs/performance.md says what the JSONs beside it say, and a page that says something else is found out."""

import json
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from bench.figures import FOLDER, PAGE, BadPage, agrees, check, value_at, with_tables
from bench.growth_charts import chart_files
from bench.result_files import read_results
from bench.tables import BESIDE_NOOP, SHAPES, sources_table

RESULT: dict[str, Any] = {
    "command": "python -m bench.suite steady",
    "machine": "2 cores",
    "commit": "0123456789",
    "taken": "2026-11-28T03:28:47+00:00",
    "shape": {"title": "Steady", "summary": "A rate."},
    "calls": 1000,
    "codes": {"OK": 1000},
    "calls_per_s": 998.7,
    "latency_ms": {"p50": 1.0, "p95": 2.0, "p99": 3.04, "p99.9": 4.0, "max": 5.0},
    "histogram": [[1.0, 1000]],
    "over_time": {"step_s": 0.5, "ok": [1000], "p50_ms": [1.0], "p99_ms": [3.0]},
    "ledger_lag": {
        "step_s": 0.5,
        "commits": [1],
        "seconds": [0.1],
        "p50_s": 0.0,
        "p99_s": 0.1,
        "caught_up_after_s": 0.2,
    },
    "processes": {"serve": {"cpu_s": 0.1, "peak_mib": 70.0}, "valkey": {"cpu_s": 0.02, "peak_mib": 9.0}},
    "audit": "Redis and the ledger agree.",
}
RESULTS = {"steady": RESULT}
RATIOS = ("of_the_noop", "p99_of_the_noop")
TABLE = "<!-- table: shapes -->\n<!-- end -->\n"


def test_the_page_says_what_the_jsons_say() -> None:
    """Each table and each figure in a sentence; none leads nowhere."""
    check(PAGE.read_text(), read_results(FOLDER))


def test_a_json_is_of_a_commit() -> None:
    """And names the command and the machine; nothing of a changed checkout can be repeated."""
    for file in FOLDER.glob("*.json"):
        result = json.loads(file.read_text())

        assert all(result[key] for key in ("command", "machine", "taken")), file.name
        assert not result["commit"].endswith("-dirty"), file.name


def test_a_table_is_written_from_the_jsons() -> None:
    """With CPU a call."""
    written = with_tables(f"before\n{TABLE}after 1\n", RESULTS)

    assert "| Steady | 1,000 | 999 | 1.0 | 3.0 | 4.0 | 0.1 | 0.2 | 100 | 20 |" in written
    assert with_tables(written, RESULTS) == written
    check(written.replace("after 1\n", ""), RESULTS)


def test_each_comparison_with_a_no_op_that_is_there_has_a_table() -> None:
    """Under its load; those at a rate have latencies to compare in the place of rates."""
    slot = {"calls_per_s": 2000.0, **{name: {"median": 0.9, "first": 0.8, "third": 1.0} for name in RATIOS}}
    slot |= {"p50_ms": 1.0, "p99_ms": 3.0, "p99.9_ms": 4.0}
    taken = {"rounds": 3, "this": {"accepted": slot}}
    lone = {**RESULT, "clients": {"h2load": taken}}
    at_rate = {**lone, "at_rate": {"share": 0.5, **taken}}

    written = with_tables(TABLE.replace("shapes", "beside-noop"), {"lone": lone, "at-rate": at_rate})

    assert "A lone caller, `--connections 1 --streams 1`:\n\n| client |" in written
    assert "| h2load | this | accepted | 2,000 | 0.90 (0.80-1.00) | 1.0 | 3.0 | 4.0 |  |  |\n\nHalf of" in written
    assert "| this | 2,000 | 1.0 | 3.0 | 4.0 |  |  | 0.90 (0.80-1.00) |\n<!-- end -->" in written
    assert "Eight connections" not in written


def test_each_run_that_a_json_is_from_has_a_row() -> None:
    """With what it measured; one run alone has one row."""
    runs = {name: {**RESULT, "command": f"--only {name[0]}"} for name in ("sales", "stock", "holds")}

    rows = sources_table({"steady": RESULT, "growth": {**RESULT, "runs": runs, "alone": True}})

    assert [row.split(" | ")[0] for row in rows[2:]] == [
        "| [steady](performance/steady.json)",
        "| [growth](performance/growth.json): sales, stock",
        "| [growth](performance/growth.json): holds",
    ]
    assert rows[2].endswith("| 2026-11-28 | some |")
    assert rows[3].endswith("| `--only s` | 2 cores | `0123456789` | 2026-11-28 | none |")


def test_the_charts_show_what_the_json_says() -> None:
    """Each as a file beside it, which is an image of its own."""
    files = chart_files(read_results(FOLDER)["growth"])

    for name, drawn in files.items():
        assert (FOLDER / name).read_text() == drawn, name
        assert ElementTree.fromstring(drawn).tag == "{http://www.w3.org/2000/svg}svg"
    assert {file.name for file in FOLDER.glob("*.svg")} == set(files)


def test_no_json_lies_unused() -> None:
    """Each has a table on the page, those of shapes all in one."""
    shown = {*SHAPES, *BESIDE_NOOP, *re.findall(r"<!-- table: (\S+) -->", PAGE.read_text())}

    assert {file.stem for file in FOLDER.glob("*.json")} <= shown


def test_each_json_is_taken_by_a_command_of_the_page() -> None:
    """So that all can be taken anew."""
    page = PAGE.read_text()
    made = {**dict.fromkeys(SHAPES, "make bench"), "growth": "-m bench.growth\n", "profiles": "-m bench.profiles\n"}

    for name in read_results(FOLDER):
        assert made.get(name, f"--json bench/results/{name}.json") in page


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (TABLE, "a table differs"),
        (TABLE.replace("shapes", "growth"), "no JSON has anything for table growth"),
        ("<!-- table: nothing -->\n<!-- end -->\n", "no table nothing"),
        ("It serves 999 calls.\n", "leads to no JSON: It serves 999 calls."),
        ("[998](performance/steady.json#calls_per_s) calls.\n", "998 is not what steady.json has"),
        ("[999](performance/steady.json#rate) calls.\n", "has nothing at rate"),
        ("[999](performance/other.json#rate) calls.\n", "has nothing at rate"),
    ],
)
def test_a_page_that_says_something_else_is_found_out(page: str, why: str) -> None:
    """A figure that was typed, one that was changed, and one whose JSON is gone."""
    with pytest.raises(BadPage, match=why):
        check(page, RESULTS)


def test_a_figure_in_a_sentence_is_a_link_to_its_place() -> None:
    """What stands in code is a command and no claim."""
    check("`make bench 1` had [998.7](performance/steady.json#calls_per_s) calls a second.\n", RESULTS)


@pytest.mark.parametrize(
    ("shown", "value", "is_right"),
    [("3.0", 3.04, True), ("3.1", 3.04, False), ("1,000", 1000, True), ("none", "none", True), ("1", "none", False)],
)
def test_a_figure_has_the_digits_that_it_shows(shown: str, value: object, is_right: bool) -> None:
    """Rounded, and with commas if they help."""
    assert agrees(shown, value) is is_right


def test_a_place_leads_through_lists_and_tables() -> None:
    """As names and numbers with slashes between them, since a name may have a dot."""
    assert value_at(RESULTS, "steady", "latency_ms/p99.9") == 4.0
    assert value_at(RESULTS, "steady", "histogram/0/1") == 1000
