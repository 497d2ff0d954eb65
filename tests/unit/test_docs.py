"""What the docs name is in the code: files, tests, settings, metrics, log events, words, and the README's example."""

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from holdfast.access import from_environment
from holdfast.blocking import BlockingClient

from inventory_service.domain import shards as inventory_shards
from inventory_service.server_checks.doctor import lines
from inventory_service.server_checks.results import CheckResult, Level
from inventory_service.settings import Settings
from order_persister.domain import shards as persister_shards

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("clients/*.md"), *ROOT.glob("clients/*/*.md")]
PACKAGES = ["inventory_service", "order_persister", "holdfast_runtime"]
FREEZERS = [*((package, "py") for package in PACKAGES), ("lua", "lua")]
README = (ROOT / "README.md").read_text()
JOURNEY = (ROOT / "docs" / "journey.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
Function = ast.FunctionDef | ast.AsyncFunctionDef
METRICS = OPERATIONS.partition("## Health and metrics")[2].partition("\n## ")[0]


@cache
def source(folder: str, end: str = "py") -> str:
    """All files of a kind below a folder, one behind the other."""
    return "\n".join(path.read_text() for path in (ROOT / folder).glob(f"**/*.{end}"))


def found_in_pages(pattern: str) -> Iterator[tuple[Path, Any]]:
    """What a pattern finds in each page of the docs."""
    return ((page, found) for page in PAGES for found in re.findall(pattern, page.read_text()))


def test_links_lead_to_files() -> None:
    """A link to a page that was moved fails here."""
    links = list(found_in_pages(r"\]\((?!https?:)([^)#]+)"))

    assert len(links) > 100
    assert [(page, target) for page, target in links if not (page.parent / target).exists()] == []


def test_another_number_of_shards_is_explained_in_the_same_words_everywhere() -> None:
    """The processes of both services refuse it with the sentence of the docs."""
    assert persister_shards.RESIZING == inventory_shards.RESIZING
    assert inventory_shards.RESIZING in " ".join(OPERATIONS.split())


def test_links_to_a_section_lead_to_its_heading() -> None:
    """A heading that was renamed would otherwise open its page at the top."""
    links = found_in_pages(r"\]\((?!https?:)([^)#]*)(?<!\.json)#([^)]+)\)")
    sections = [(page, page.parent / target if target else page, anchor) for page, (target, anchor) in links]

    assert len(sections) > 30
    assert [(page, anchor) for page, target, anchor in sections if anchor not in anchors(target)] == []


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_files_that_the_docs_name_exist() -> None:
    """The name of a file that was moved is changed here too; folders of a service may be named without the service."""
    named = list(found_in_pages(r"`([a-z_]+/[a-z_/]+\.(?:py|sql|lua|md))`"))

    assert len(named) > 100
    assert [
        (page, name) for page, name in named if not any((ROOT / home / name).exists() for home in (".", *PACKAGES))
    ] == []


def promises() -> list[str]:
    """Return the rows of the README's table of promises."""
    section = README.partition("## What it promises")[2].partition("\n## ")[0]
    return [row for row in section.splitlines() if row.startswith("| ")][1:]


def test_there_are_eight_promises() -> None:
    """As many as Holdfast makes; a row that is lost is a promise without a test."""
    assert len(promises()) == 8


@pytest.mark.parametrize("promise", promises(), ids=lambda row: row.split("**")[1] if "**" in row else row)
def test_a_promise_names_tests_that_exist(promise: str) -> None:
    """Each promise names its tests; each of these is where the link leads, and names the promise itself."""
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
    """The example is run for real in tests/e2e; here it is only compared with the client's methods."""
    [example] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

    calls = {method for node in ast.walk(ast.parse(example)) if (method := method_called_on(node, "shop"))}

    assert calls == {"create_sale", "reserve", "confirm"}
    assert all(hasattr(BlockingClient, name) for name in calls)


def test_the_examples_of_the_client_call_it_as_it_is() -> None:
    """Every method that they call takes the arguments that they name."""
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "client.md").read_text(), re.DOTALL)
    calls = [node for text in examples for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]

    on_the_shop = [(method, call) for call in calls if (method := method_called_on(call, "shop"))]

    assert len(on_the_shop) > 10
    for method, call in on_the_shop:
        signature = inspect.signature(getattr(BlockingClient, method))
        signature.bind("self", *call.args, **{str(given.arg): given for given in call.keywords})


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
    assert set(listed) - set(known) == variables_of_the_command(), "only the command's own are in no Settings"


def variables_of_the_command() -> set[str]:
    """What the client looks for in an environment."""
    found: set[str] = set()

    class Environment(dict[str, str]):
        def get(self, name: str, default: object = None) -> Any:
            found.add(name)
            return default

    from_environment(Environment())
    return found


def test_the_metrics_table_lists_every_metric() -> None:
    """Alarms are set up from the table and not from the code."""
    table = {name.removesuffix("_total") for name in re.findall(r"`(holdfast_\w+)`", METRICS)}

    made = {
        name.removesuffix("_total")
        for package in PACKAGES
        for name in re.findall(r'"(holdfast_[a-z_]+)"', source(package))
    }

    assert table == made


def test_log_events_that_are_named_are_logged() -> None:
    """An operator searches the log for the word on the page."""
    pages = " ".join(" ".join(page.read_text().split()) for page in PAGES)
    named = re.findall(r"((?:`[a-z_]+`(?: and )?)+) in its log|log has (`[a-z_]+`)|logged as (`[a-z_]+`)", pages)
    events = {event for groups in named for event in re.findall(r"\w+", " ".join(groups).replace(" and ", " "))}

    sources = " ".join(map(source, PACKAGES))

    assert {"admission_stopped", "server_unavailable", "server_check_fail"} <= events
    assert not [event for event in events if f'"{event}"' not in sources]


def test_the_doctors_words_are_explained() -> None:
    """The first word of a line is all that an operator looks at while nothing is wrong."""
    section = OPERATIONS.partition("## What the servers must be set to")[2].partition("\n## ")[0]

    words = {line.split()[0] for line in lines(CheckResult("Redis", "role", "master", level, "") for level in Level)}

    assert not [word for word in (*words, *Level) if f"`{word}`" not in section]


def test_the_glossary_has_the_words_of_the_code() -> None:
    """A word that only the glossary has explains nothing; one that was renamed in the code is renamed there too."""
    glossary = JOURNEY.partition("## Words")[2].partition("\n## ")[0]
    words = re.findall(r"^\| ([a-z-]+) \|", glossary, re.MULTILINE)[1:]

    homes = [
        *((package, "py") for package in PACKAGES),
        ("lua", "lua"),
        ("protos", "proto"),
        ("order_persister", "sql"),
    ]
    sources = " ".join(source(*home).lower() for home in homes)

    assert {"order", "refused", "archived"} <= set(words)
    assert not [word for word in words if not re.search(rf"\b{word}s?\b", sources)]


def test_the_table_of_frozen_shards_has_every_reason() -> None:
    """An operator looks the first word of a frozen shard's reason up."""
    section = OPERATIONS.partition("## A shard that does not serve")[2].partition("\n## ")[0]
    table = re.findall(r"^\| `([A-Z_]+)` \|", section, re.MULTILINE)

    words = {word for home in FREEZERS for word in re.findall(r"[\"'][{]?([A-Z]+(?:_[A-Z]+)*)[}]?: ", source(*home))}

    assert set(table) == {word for word in words if not word.startswith("HOLDFAST_")}
    assert len(table) == len(set(table))


def test_the_readme_says_what_each_extra_brings() -> None:
    """Of the wheel, in its table of what `pip install` brings."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    table = README.partition("## What `pip install` brings")[2].partition("\n## ")[0]

    assert sorted(re.findall(r"^\| `pip install '\.\[(\w+)\]'` \|", table, re.MULTILINE)) == sorted(extras)
