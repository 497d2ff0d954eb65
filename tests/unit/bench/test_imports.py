"""A benchmark imports neither the services nor the tests, but for those that measure the code itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import bench.machine

# Each checkout's Python runs these on its own code.
OF_ITS_CHECKOUT = {"counted_server.py", "instructions.py", "ledger_cost.py", "own_cost.py", "pacing.py"}
FILES = sorted(file for file in Path(bench.machine.__file__).parent.rglob("*.py") if file.name not in OF_ITS_CHECKOUT)
FORBIDDEN = {"tests", "inventory_service", "order_persister"}


def imported(source: str) -> Iterator[str]:
    """The top-level packages of all imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_a_benchmark_starts_services_and_imports_neither_them_nor_tests() -> None:
    """It measures processes, which may be of another checkout; and tests import `bench`."""
    assert len(FILES) > 20
    assert [file.name for file in FILES if not FORBIDDEN.isdisjoint(imported(file.read_text()))] == []
