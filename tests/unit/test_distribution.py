"""Tests that share a stack run in one worker, or it would be started once a worker."""

import re
from pathlib import Path

from tests.xdist_groups import ON_A_STACK

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "tests" / "e2e").glob("test_*.py"))
FIXTURES = {
    "archiving": "e2e archiving",
    **dict.fromkeys(("apply", "holdfast", "shell", "stack", "usual_stack"), "e2e usual"),
}
TEST = re.compile(r"^(?:async )?def test_\w+\((.*?)\) -> None:", re.DOTALL | re.MULTILINE)


def test_a_file_is_sent_with_the_others_on_its_stack() -> None:
    """And has tests on one stack alone, for a file goes to a worker as a whole."""
    assert len(FILES) > 10
    for file in FILES:
        arguments = re.findall(r"(\w+):", " ".join(TEST.findall(file.read_text())))
        stacks = {FIXTURES[name] for name in arguments if name in FIXTURES}

        sent = set(filter(None, [ON_A_STACK.get(str(file.relative_to(ROOT)))]))
        assert (file.name, stacks) == (file.name, sent)


def test_no_file_is_named_that_is_gone() -> None:
    """Its successor would have a stack of its own."""
    assert [name for name in ON_A_STACK if not (ROOT / name).exists()] == []
