"""Results as JSON files: how each was made, and where they lie."""

import json
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.machine import ROOT, commit_of, machine

RESULTS = ROOT / "bench" / "results"
Results = Mapping[str, Any]


def command_line(module: str) -> str:
    """The command that repeats the run of this process, wherever the checkout lies."""
    return portable(shlex.join(["python", "-m", module, *sys.argv[1:]]))


def portable(command: str) -> str:
    """A command without the paths of one machine: its JSON lies in the folder of results, another checkout at PATH."""
    words, kept = iter(shlex.split(command)), list[str]()
    for word in words:
        option, is_joined, value = word.partition("=")
        if option not in ("--json", "--results", "--other"):
            kept.append(word)
            continue
        value = value if is_joined else next(words)
        if option == "--json":
            kept += [option, f"{RESULTS.relative_to(ROOT)}/{Path(value).name}"]
        elif option == "--other":
            kept += [option, "PATH"]
    return shlex.join(kept)


def provenance(command: str) -> dict[str, str]:
    """What a result begins with: how it was made, when, where and at which commit."""
    taken = datetime.now(UTC).isoformat(timespec="seconds")
    return {"command": command, "taken": taken, "machine": machine(), "commit": commit_of(ROOT)}


def write_result(file: Path, result: Results) -> None:
    """Write one result."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, indent=1) + "\n")


def write_with_provenance(file: Path | None, module: str, figures: Results) -> None:
    """Write what this process' run of a module came to, if it was asked to."""
    if file:
        write_result(file, {**provenance(command_line(module)), **figures})


def read_results(folder: Path) -> dict[str, Results]:
    """Every result of a folder, by name."""
    return {file.stem: json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))}


def take_results(folder: Path, to: Path, names: list[str], *, alone: bool) -> None:
    """Copy results, or all if none is named, with commands that repeat them elsewhere; `alone`: nothing ran beside."""
    for name, result in read_results(folder).items():
        if not names or name in names:
            write_result(to / f"{name}.json", {**result, "command": portable(result["command"]), "alone": alone})
