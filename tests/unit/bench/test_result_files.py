"""Results in files: a command that repeats the run elsewhere, and results that are taken into the docs."""

import argparse
import json
from pathlib import Path

import pytest

from bench.result_files import command_line, portable, read_results, take_results, write_result
from bench.suite import command_of


@pytest.mark.parametrize(
    ("command", "elsewhere"),
    [
        ("python -m bench.paired --workers 2", "python -m bench.paired --workers 2"),
        (
            "python -m bench.paired --json other/folder/lone.json",
            "python -m bench.paired --json bench/results/lone.json",
        ),
        ("python -m bench.paired --json=lone.json", "python -m bench.paired --json bench/results/lone.json"),
        ("python -m bench.paired --other ../before --rounds 2", "python -m bench.paired --other PATH --rounds 2"),
        ("python -m bench.growth --results other/folder --rounds 2", "python -m bench.growth --rounds 2"),
    ],
)
def test_a_command_has_no_path_of_one_machine(command: str, elsewhere: str) -> None:
    """It is published with its figures, and repeats them wherever the checkout lies."""
    assert portable(command) == elsewhere


def test_a_command_has_the_options_of_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without them it would repeat another one."""
    monkeypatch.setattr("sys.argv", ["paired", "--rounds", "3", "--json", "other/p.json"])

    assert command_line("bench.paired") == "python -m bench.paired --rounds 3 --json bench/results/p.json"


@pytest.mark.parametrize(
    ("scale", "seconds", "options"),
    [(1.0, None, ""), (0.5, None, " --scale=0.5"), (2.0, 3.0, " --scale=2 --seconds=3")],
)
def test_a_shape_of_the_suite_is_repeated_alone(scale: float, seconds: float | None, options: str) -> None:
    """One command runs many shapes, and each has a JSON."""
    arguments = argparse.Namespace(scale=scale, seconds=seconds)

    assert command_of("steady", arguments) == f"python -m bench.suite steady{options}"


def test_results_are_taken_by_name_or_all(tmp_path: Path) -> None:
    """Those of earlier versions too, whose commands had paths."""
    docs = tmp_path / "docs"
    for name in ("lone", "paired"):
        write_result(tmp_path / f"{name}.json", {"command": f"python -m bench.paired --json other/{name}.json", "x": 1})

    take_results(tmp_path, docs, ["lone"], alone=True)
    assert list(read_results(docs)) == ["lone"]

    take_results(tmp_path, docs, [], alone=False)
    assert list(read_results(docs)) == ["lone", "paired"]
    assert json.loads((docs / "lone.json").read_text()) == {
        "command": "python -m bench.paired --json bench/results/lone.json",
        "x": 1,
        "alone": False,
    }
