"""The example of docs/testing.md runs as written: its tests pass, as those of a project that calls Holdfast."""

import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.test_readme import RUN_S, examples_of


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    """In a folder of their own, with no more than pytest."""
    [example] = examples_of("docs/testing.md")
    (tmp_path / "test_shop.py").write_text(example)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}

    ended = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=RUN_S, check=False
    )

    assert "3 passed" in ended.stdout, ended.stdout + ended.stderr
