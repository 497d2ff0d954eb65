"""Writes the report of docs/comparison.md from the JSON beside it, and checks the figures that the page names.

Such a figure is a link to its place in that JSON, of which it has the digits that it shows, as in docs/performance.md.
`--take` first copies the newest result of `python -m bench.strategies` there, unless it is of a changed checkout.
"""

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.figures import BadPage, check_figures
from bench.machine import ROOT
from bench.result_files import RESULTS
from bench.strategies.report import lines_of
from bench.strategies.result import Result, load

PAGE = ROOT / "docs" / "comparison.md"
JSON = ROOT / "docs" / "comparison.json"
NEWEST = RESULTS / "strategies" / "comparison.json"
REPORT = re.compile(r"(<!-- report -->\n).*?(<!-- end -->)", re.DOTALL)
FINDINGS = "## What was found"


def with_report(page: str, result: Result) -> str:
    """The page with the report written anew; BadPage if it has no place for it."""
    report = "\n".join(lines_of(result))
    written, places = REPORT.subn(lambda found: f"{found[1]}\n{report}\n\n{found[2]}", page)
    if places != 1:
        raise BadPage("the page must have one place for the report")
    return written


def check(page: str, result: Result) -> None:
    """BadPage if the report is not that of the result, or what is said about it has figures that are not."""
    if with_report(page, result) != page:
        raise BadPage("the report differs from the JSON; run `python -m bench.strategies.figures`")
    findings = REPORT.sub("", page.partition(FINDINGS)[2])
    check_figures(findings, {JSON.stem: asdict(result)})


def take(newest: Path, to: Path) -> None:
    """Copy a result; BadPage if it is of a checkout with changes, for it cannot be repeated."""
    if load(newest).origin["commit"].endswith("-dirty"):
        raise BadPage(f"{newest} is of a checkout with changes: commit them, and run the comparison again")
    shutil.copy(newest, to)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report; the exit code is 1 if something is wrong with the page or the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--take", action="store_true", help=f"take {NEWEST.relative_to(ROOT)}")
    try:
        if parser.parse_args(arguments).take:
            take(NEWEST, JSON)
        result = load(JSON)
        PAGE.write_text(with_report(PAGE.read_text(), result))
        check(PAGE.read_text(), result)
    except BadPage as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
