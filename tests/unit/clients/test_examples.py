"""The examples import what is installed beside the client, and nothing of the services."""

import ast
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "clients" / "examples").glob("*.py"))
MESSAGES, KAFKA = "holdfast.inventory.v1.", {"aiokafka", "faust"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_imports_the_messages_and_a_client_of_kafka(example: Path) -> None:
    """A reader takes the file as it is, into a project that has no service's code."""
    nodes = list(ast.walk(ast.parse(example.read_text())))
    named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    others = {name for name in named if name.partition(".")[0] not in sys.stdlib_module_names}

    assert {name for name in others if not name.startswith(MESSAGES) and name.partition(".")[0] not in KAFKA} == set()
    assert any(name.startswith(MESSAGES) for name in others)


def test_there_are_examples() -> None:
    """A folder that was moved would leave nothing to check."""
    assert [path.name for path in EXAMPLES] == ["notifier.py", "sell_through.py"]
