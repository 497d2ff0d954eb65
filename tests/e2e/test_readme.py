"""The README's example does what the README says, on the stack that the README starts."""

import re
import subprocess
import sys
from pathlib import Path

from holdfast_embedded.stack import DEFAULT_LISTEN

from tests.e2e.conftest import Running

README = Path(__file__).resolve().parents[2] / "README.md"
RUN_S = 60.0


def test_the_example_runs_as_written(usual_stack: Running) -> None:
    """A newcomer runs it first, and may run it twice."""
    address = usual_stack.stack.addresses.listen
    [example] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert example.count(DEFAULT_LISTEN) == 1

    runs = [run(example.replace(DEFAULT_LISTEN, address)) for _ in range(2)]

    assert runs == ["reservation\n", "reservation\n"]


def run(program: str) -> str:
    """Run Python text in a process of its own and return what it printed."""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=RUN_S, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
