"""One question to a server: the options that all questions share, and what an error means to a shell."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, NoReturn, TypeVar

import typer
from rich.console import Console

from holdfast import errors
from holdfast.client import Client
from holdfast.retry import RetryPolicy

DONE, NO, UNASKED, UNKNOWN = 0, 1, 2, 3
EXIT_CODES = "\n".join(
    [
        "Exit codes:",
        f"  {DONE}  done",
        f"  {NO}  the answer is no: sold out, over a limit, not found, in the wrong state",
        f"  {UNASKED}  not asked: bad usage, or no server could judge",
        f"  {UNKNOWN}  unknown whether it was done: repeat with the same ids",
    ]
)

CONNECT_S = 2.0  # a server that is there accepts within milliseconds; this is for one that is just starting

Address = Annotated[
    str, typer.Option(envvar="HOLDFAST_ADDRESS", help="Where a server listens.", rich_help_panel="Server")
]
Timeout = Annotated[
    float,
    typer.Option("--timeout", metavar="SECONDS", min=0.1, help="How long to keep asking.", rich_help_panel="Server"),
]
Json = Annotated[bool, typer.Option("--json", help="Print the response as JSON.")]
SaleId = Annotated[str, typer.Argument(help="The sale's id.")]
ReservationId = Annotated[str, typer.Argument(help="The reservation's id, which was chosen when it was made.")]
DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_TIMEOUT_S = 5.0

Response = TypeVar("Response")

complaints = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


def ask(address: str, timeout_s: float, question: Callable[[Client], Awaitable[Response]]) -> Response:
    """The response to one question; otherwise ends the process, having said why and what to do next."""
    if not all(":" in server for server in address.split(",")):
        complain(
            f"HOLDFAST_ADDRESS: must be host:port, or several with commas between them, and is {address!r}", UNASKED
        )
    try:
        return asyncio.run(_ask(address, timeout_s, question))
    except errors.HoldfastError as error:
        explain(error)


async def _ask(address: str, timeout_s: float, question: Callable[[Client], Awaitable[Response]]) -> Response:
    patience = RetryPolicy(overall_s=timeout_s, attempt_s=timeout_s)
    async with Client(address, channels=1 + address.count(","), retry=patience) as client:
        if not await client.reach(within_s=min(timeout_s, CONNECT_S)):
            complain(f"no server answers at {address}: start one with `holdfast up`, or set HOLDFAST_ADDRESS", UNASKED)
        return await question(client)


def explain(error: errors.HoldfastError) -> NoReturn:
    """Say what went wrong and end with the code that a script can tell it by."""
    for field, why in error.violations.items():
        complaints.print(f"  {field}: {why}")
    if error.outcome_unknown:
        complain(f"it is unknown whether this was done: repeat it with the same ids ({error.message})", UNKNOWN)
    if isinstance(error, errors.TryLater):
        complain(f"the server cannot judge now, and nothing was done: {_reasoned(error)}", UNASKED)
    answers_no = (errors.NotFound, errors.IdReused, errors.WrongState, errors.Outdated)
    complain(_reasoned(error), NO if isinstance(error, answers_no) else UNASKED)


def complain(what: str, code: int) -> NoReturn:
    """One line on standard error, and the end."""
    complaints.print(f"holdfast: {what}")
    raise typer.Exit(code)


def _reasoned(error: errors.HoldfastError) -> str:
    reason = error.reason.removeprefix("ERROR_REASON_") or error.code.name
    frozen = error.metadata.get("frozen_reason")
    return f"{error.message} [{reason}]" + (f"; frozen: {frozen}" if frozen else "")
