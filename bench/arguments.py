"""The command lines of the benchmarks: help that is the module's docstring, and the options of those with rounds."""

import argparse
from pathlib import Path


def parser_of(about: str | None) -> argparse.ArgumentParser:
    """A parser whose help begins with a module's docstring, as it is written."""
    return argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_rounds(parser: argparse.ArgumentParser, *, rounds: int, seconds: float, most_foreign: float) -> None:
    """The options of a benchmark that puts loads on servers in turn, with their defaults."""
    add = parser.add_argument
    add("--rounds", type=int, default=rounds, help="after one that is not counted (%(default)s)")
    add("--seconds", type=float, default=seconds, help="of each load in a round (%(default)s)")
    add(
        "--most-foreign",
        type=float,
        default=most_foreign,
        metavar="CPUS",
        help="that other work may take (%(default)s)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option of a benchmark whose figures the docs show."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go as JSON, besides")


def add_audit(parser: argparse.ArgumentParser) -> None:
    """The option of a benchmark that ends with the audit."""
    parser.add_argument("--deadline", type=float, default=900.0, metavar="SECONDS", help="for each audit (%(default)s)")
