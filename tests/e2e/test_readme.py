"""The examples of the README and of docs/client.md do what these pages say, on the stack that the README starts."""

import os
import re
import subprocess
import sys
from pathlib import Path

from holdfast_embedded.stack import DEFAULT_LISTEN

from tests.stacks import Running

ROOT = Path(__file__).resolve().parents[2]
RUN_S = 150.0
# What the examples of docs/client.md leave: one of two lamps came back and was discarded, and twenty were added.
LEFT = """
[line] = shop.get_reservation("lamps", "cart-7").reservation.lines
sale = shop.get_sale("lamps").sale
print(line.confirmed_quantity, line.returned_quantity, sale.title, *((item.sku, item.total) for item in sale.items))
"""


def test_the_example_runs_as_written(usual_stack: Running) -> None:
    """A newcomer runs it first, and may run it twice."""
    address = usual_stack.stack.addresses.listen
    [example] = examples_of("README.md")
    assert example.count(DEFAULT_LISTEN) == 1

    runs = [run(example.replace(DEFAULT_LISTEN, address)) for _ in range(2)]

    assert runs == ["reservation\n", "reservation\n"]


def test_the_examples_of_the_client_run_as_written(usual_stack: Running) -> None:
    """Its page is read as one story: what the first example sells is in the sale that the others list and run."""
    *story, has_options = examples_of("docs/client.md")
    assert len(story) == 5

    printed = run("\n".join([*story, LEFT, has_options]), HOLDFAST_ADDRESS=usual_stack.stack.addresses.listen)

    assert printed.splitlines()[-1] == "2 1 Lamps, at last ('bulb', 50) ('lamp', 119) ('shade', 20)"


def examples_of(page: str) -> list[str]:
    """The Python text of a page, in its order."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def run(program: str, **environment: str) -> str:
    """Run Python text in a process of its own and return what it printed."""
    command, variables = [sys.executable, "-c", program], {**os.environ, **environment}
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=RUN_S, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
