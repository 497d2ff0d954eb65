"""Every benchmark explains itself, and starts nothing when it is only asked to."""

import importlib
import re

import pytest

from bench import __main__ as listing
from bench.machine import ROOT

BENCHMARKS = dict(listing.benchmarks())


def test_a_benchmark_prints_its_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With the first line of its docstring."""
    for name, first_line in BENCHMARKS.items():
        module = importlib.import_module(name if name != "bench.strategies" else "bench.strategies.__main__")
        monkeypatch.setattr("sys.argv", [name, "--help"])

        with pytest.raises(SystemExit) as ended:
            module.main()

        assert ended.value.code == 0, name
        assert first_line.rstrip(".") in " ".join(capsys.readouterr().out.split()), name


def test_every_benchmark_is_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """By `python -m bench`; a file without a `main` is a part of others, and is not."""
    monkeypatch.setattr("sys.argv", ["bench"])

    assert listing.main() == 0

    listed = capsys.readouterr().out.split()
    assert {"bench.suite", "bench.paired", "bench.strategies"} <= set(listed)
    assert not {"bench.ledger_lag", "bench.rounds"} & set(listed)


def test_contributors_find_every_benchmark() -> None:
    """In the table of CONTRIBUTING.md, by its command or that of `make`; some are parts of others."""
    made = {"bench.suite": "make bench", "bench.page": "make bench", "bench.strategies": "make compare"}
    page, parts = (
        (ROOT / "CONTRIBUTING.md").read_text(),
        {"bench.confirms", "bench.counted_server", "bench.noop_server"},
    )
    commands = {name: made.get(name, f".venv/bin/python -m {name}") for name in BENCHMARKS.keys() - parts}

    assert {name for name, command in commands.items() if not re.search(rf"`{re.escape(command)}[ `]", page)} == set()
