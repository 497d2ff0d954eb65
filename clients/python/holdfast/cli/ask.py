"""One call to a server: the options that all such commands share, and what becomes of the call."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, NamedTuple, TypeVar

import typer

from holdfast import errors
from holdfast.cli.fail import UNASKED, UNKNOWN, fail, failure_of
from holdfast.cli.parsing import finite_seconds
from holdfast.client import Client
from holdfast.errors import named
from holdfast.retry import RetryPolicy

CONNECT_S = 2.0  # a server that runs accepts within milliseconds; this is for one that is just starting

Address = Annotated[
    str, typer.Option(envvar="HOLDFAST_ADDRESS", help="Where a server listens.", rich_help_panel="Server")
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=0.1,
        callback=finite_seconds,
        help="How long to repeat a call that gets no answer.",
        rich_help_panel="Server",
    ),
]
UseProxy = Annotated[
    bool,
    typer.Option(
        "--use-proxy",
        envvar="HOLDFAST_USE_PROXY",
        help="Connect through the proxy that http_proxy or https_proxy names.",
        rich_help_panel="Server",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the response, or the failure, as JSON.")]
SaleId = Annotated[str, typer.Argument(help="The sale's id.")]
ReservationId = Annotated[str, typer.Argument(help="The reservation's id, which was chosen when it was made.")]
DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_TIMEOUT_S = 5.0

Response = TypeVar("Response")
Call = Callable[[Client], Awaitable[Response]]


class Server(NamedTuple):
    """Where a server listens, how long to wait for its answer, and whether to go through a proxy."""

    address: str
    timeout_s: float
    use_proxy: bool


def ask(server: Server, call: Call[Response], *, reads: bool = False, **ids: str) -> Response:
    """The response to one call; otherwise fails with a sentence that names `ids`, what the call is about.

    After a call that only `reads` nothing is unknown.
    """
    if not all(":" in part and part.isprintable() for part in server.address.split(",")):
        fail(f"HOLDFAST_ADDRESS: must be host:port, or several with commas between them, and is {server.address!r}")
    progress = _Progress()
    try:
        return asyncio.run(_ask(server, call, progress))
    except errors.HoldfastError as error:
        error.outcome_unknown = error.outcome_unknown and not reads
        raise failure_of(error, ids) from None
    except KeyboardInterrupt:
        if reads or not progress.is_sent:
            fail(f"{named(ids)}: interrupted; nothing was done", UNASKED, "CANCELLED")
        unknown = "interrupted while the call was out; it is unknown whether this was done: repeat it with the same ids"
        fail(f"{named(ids)}: {unknown}", UNKNOWN, "CANCELLED")


class _Progress:
    """Whether a call was sent: from then on it may have been done."""

    is_sent = False


async def _ask(server: Server, call: Call[Response], progress: _Progress) -> Response:
    policy = RetryPolicy(overall_s=server.timeout_s, attempt_s=server.timeout_s)
    channels = 1 + server.address.count(",")
    async with Client(server.address, channels=channels, retry=policy, use_proxy=server.use_proxy) as client:
        if not await client.reach(within_s=min(server.timeout_s, CONNECT_S)):
            hint = "start one with `holdfast up`, or set HOLDFAST_ADDRESS"
            fail(f"no server answers at {server.address}: {hint}", UNASKED, "UNAVAILABLE")
        progress.is_sent = True
        return await call(client)
