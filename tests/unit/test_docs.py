"""The docs and the code agree on files, tests, settings, metrics and the README's example."""

import ast
import re
from pathlib import Path

import pytest
from holdfast.blocking import BlockingClient

from inventory_service.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
PACKAGES = ["inventory_service", "order_persister", "holdfast_runtime"]
SOURCES_OF_REASONS = [*((package, "py") for package in PACKAGES), ("lua", "lua")]
README = (ROOT / "README.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
Function = ast.FunctionDef | ast.AsyncFunctionDef
METRICS = OPERATIONS.partition("## Health and metrics")[2].partition("\n## ")[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    """A link to a file that was moved or deleted fails here."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())

    missing = [target for target in targets if not (page.parent / target).exists()]

    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_the_docs_name_exist(page: Path) -> None:
    """A file that was moved is renamed in the docs too; its path may leave the package out."""
    named = re.findall(r"`([a-z_]+/[a-z_/]+\.(?:py|sql|lua|md))`", page.read_text())

    assert not [name for name in named if not any((ROOT / home / name).exists() for home in (".", *PACKAGES))]


def promises() -> list[str]:
    """Return the rows of the README's table of promises."""
    section = README.partition("## What it promises")[2].partition("\n## ")[0]
    return [row for row in section.splitlines() if row.startswith("| ")][1:]


def test_there_are_seven_promises() -> None:
    """A promise that is lost from the table would have no test."""
    assert len(promises()) == 7


@pytest.mark.parametrize("promise", promises(), ids=lambda row: row.split("**")[1] if "**" in row else row)
def test_a_promise_names_tests_that_exist(promise: str) -> None:
    """Each test is in the file that the link names, and its docstring names the promise."""
    [number] = re.findall(r"^\| (\d)", promise)
    tests = re.findall(r"\[`(test_\w+)`\]\(([^)]+)\)", promise)

    assert tests
    for test, file in tests:
        docstring = docstrings(ROOT / file).get(test, f"{test} is not in {file}")
        assert re.search(rf"Promises? [\d, and]*{number}", docstring), f"{test}: {docstring}"


def docstrings(file: Path) -> dict[str, str]:
    """The docstring of each function of a file, by name."""
    functions = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, Function)]
    return {node.name: ast.get_docstring(node) or "" for node in functions}


def test_the_readmes_example_calls_methods_of_the_client() -> None:
    """The example is run in tests/e2e; here its method names are compared with the client's."""
    [example] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

    calls = {method for node in ast.walk(ast.parse(example)) if (method := method_called_on(node, "shop"))}

    assert calls == {"create_sale", "reserve", "confirm"}
    assert all(hasattr(BlockingClient, name) for name in calls)


def method_called_on(node: ast.AST, name: str) -> str | None:
    """Which method of the variable `name` a node calls, if it does."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=found), attr=method)) if found == name:
            return method
    return None


def test_the_settings_page_lists_every_setting() -> None:
    """The table in docs/operations.md has the variables and defaults of all processes, and no others."""
    listed = dict(re.findall(r"^\| `(HOLDFAST_\w+)` \| `?([^|`]*?)`? ?\|", OPERATIONS, re.MULTILINE))

    known = {f"HOLDFAST_{name}".upper(): str(field.default) for name, field in Settings.model_fields.items()}

    assert {name: value for name, value in listed.items() if name in known} == known
    of_the_command = {"HOLDFAST_ADDRESS", "HOLDFAST_USE_PROXY"}
    assert set(listed) - set(known) == of_the_command, "only the command's own variables are in no Settings"


def test_the_metrics_table_lists_every_metric() -> None:
    """Operators set alarms up by the table and not by the code."""
    table = {name.removesuffix("_total") for name in re.findall(r"`(holdfast_\w+)`", METRICS)}

    sources = [path.read_text() for package in PACKAGES for path in (ROOT / package).glob("**/*.py")]
    made = {name.removesuffix("_total") for text in sources for name in re.findall(r'"(holdfast_[a-z_]+)"', text)}

    assert table == made


def test_the_table_of_frozen_shards_has_every_reason() -> None:
    """An operator looks the first word of a frozen shard's reason up there."""
    section = OPERATIONS.partition("## A shard that does not serve")[2].partition("\n## ")[0]
    table = re.findall(r"^\| `([A-Z_]+)` \|", section, re.MULTILINE)

    sources = [path.read_text() for home, end in SOURCES_OF_REASONS for path in (ROOT / home).glob(f"**/*.{end}")]
    words = {word for text in sources for word in re.findall(r"[\"'][{]?([A-Z]+(?:_[A-Z]+)*)[}]?: ", text)}

    assert set(table) == {word for word in words if not word.startswith("HOLDFAST_")}
    assert len(table) == len(set(table))
