"""Lists: the options that all of them share, and their pages as a table, as one JSON object, or as a line for each."""

import sys
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, NamedTuple, Protocol

import typer
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from holdfast.cli.ask import Options, ask, reads_interrupted
from holdfast.cli.json_output import print_json, print_json_line
from holdfast.cli.parsing import state_names, state_parser
from holdfast.cli.render import local
from holdfast.cli.table import Column, Table
from holdfast.cli.terminal import is_output_lost, messages
from holdfast.client import Client
from holdfast.pages import Pages

USUAL_LIMIT = 50
LONGEST_PAGE = 1000  # what the server makes of a longer one

JsonLines = Annotated[bool, typer.Option("--jsonl", help="Print each, or the failure, as JSON on a line of its own.")]
Limit = Annotated[
    int | None, typer.Option(metavar="NUMBER", min=1, help=f"At most so many; {USUAL_LIMIT} if not given.")
]
All = Annotated[bool, typer.Option("--all", help="All there are, however many.")]
PageToken = Annotated[
    str, typer.Option(metavar="TOKEN", help="Go on where an earlier list ended; with the newest if not given.")
]


def states_option(enum: EnumTypeWrapper) -> Any:
    """The option that names states of a kind."""
    names = ", ".join(state_names(enum))
    meaning = f"Only in this state ({names}); repeat for more. In any if not given."
    return typer.Option("--state", metavar="STATE", parser=state_parser(enum), help=meaning)


class Paging(NamedTuple):
    """How much of a list is printed, from where on, and whether as JSON lines."""

    jsonl: JsonLines = False
    limit: Limit = None
    all: All = False
    page_token: PageToken = ""


class Fetch(Protocol):
    """Lists from a page on."""

    def __call__(self, client: Client, *, page_size: int, page_token: str) -> Pages[Any, Any]: ...


class Part(NamedTuple):
    """A page, and its elements."""

    page: Any
    elements: Sequence[Any]


def print_list(options: Options, paging: Paging, fetch: Fetch, columns: Sequence[Column[Any]], **ids: str) -> None:
    """Print a list, page by page; otherwise fail with a sentence that names `ids`, of what it is."""
    if paging.all and paging.limit is not None:
        raise typer.BadParameter("give either --limit or --all")
    if paging.jsonl and options.json:
        raise typer.BadParameter("give either --json or --jsonl")
    print_parts = _print_lines if paging.jsonl else _print_object if options.json else _print_table

    async def call(client: Client) -> None:
        await print_parts(_parts(client, fetch, paging), columns)

    ask(options, call, ids, reads_interrupted(ids))


async def _parts(client: Client, fetch: Fetch, paging: Paging) -> AsyncIterator[Part]:
    """As many as are wanted and no more, so that the token of the last one goes on right behind them."""
    left = sys.maxsize if paging.all else paging.limit or USUAL_LIMIT
    token: str | None = paging.page_token
    while token is not None and left > 0:
        pages = fetch(client, page_size=min(left, LONGEST_PAGE), page_token=token)
        page = await anext(pages.pages())
        elements = pages.elements(page)
        yield Part(page, elements)
        if is_output_lost():
            return
        left -= len(elements)
        token = page.next_page_token or None
    if token:
        more = "there are more: add --all, or a larger --limit, or go on with"
        messages.print(f"{more} --page-token {token}", style="dim")


async def _print_table(parts: AsyncIterator[Part], columns: Sequence[Column[Any]]) -> None:
    table: Table[Any] = Table(columns)
    first: Any = None
    count = 0
    async for page, elements in parts:
        table.print_rows(elements)
        first, count = first or page, count + len(elements)
    if not count:
        messages.print("none", style="dim")
    if has_complete_time(first):
        messages.print(f"as of the ledger, which has everything before {local(first.complete_time)}", style="dim")


async def _print_lines(parts: AsyncIterator[Part], columns: Sequence[Column[Any]]) -> None:
    async for _, elements in parts:
        for element in elements:
            print_json_line(element)


async def _print_object(parts: AsyncIterator[Part], columns: Sequence[Column[Any]]) -> None:
    """One response with the elements of all pages, and the token of the last one.

    Its `complete_time` is that of the first page, which was read before the others.
    """
    whole: Any = None
    async for page, _ in parts:
        if whole is None:
            whole = page
            continue
        if has_complete_time(page):
            page.ClearField("complete_time")
        whole.ClearField("next_page_token")
        whole.MergeFrom(page)
    print_json(whole)


def has_complete_time(page: Any) -> bool:
    """Whether it is known up to when nothing is missing; blocked buyers are listed as they are now."""
    return "complete_time" in page.DESCRIPTOR.fields_by_name and page.HasField("complete_time")
