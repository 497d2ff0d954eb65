"""One call to a server: the options that all such commands share, and what becomes of the call."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import wraps
from typing import Annotated, NamedTuple, TypeVar

import typer
from google.protobuf.message import Message

from holdfast import errors
from holdfast.access import from_environment
from holdfast.cli.fail import NOT_DONE, UNKNOWN, fail, failure_of
from holdfast.cli.json_output import print_json
from holdfast.cli.parsing import finite_seconds
from holdfast.client import Client
from holdfast.errors import describe
from holdfast.retry import RetryPolicy

START_ONE = "start one with `holdfast up`, or set HOLDFAST_ADDRESS"
NO_TLS = "`holdfast serve` itself speaks no TLS, so a proxy before it must, with a certificate that is trusted"
CONNECT_S = 2.0  # a server that runs accepts within milliseconds; this is for one that is just starting

Json = Annotated[bool, typer.Option("--json", help="Print the response, or the failure, as JSON.")]
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
        help="How long to repeat a call that gets no answer, once connected.",
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
SaleId = Annotated[str, typer.Argument(help="The sale's id.")]
ReservationId = Annotated[str, typer.Argument(help="The reservation's id, which was chosen when it was made.")]

Response = TypeVar("Response", bound=Message)
Call = Callable[[Client], Awaitable[Response]]
Command = Callable[..., None]


class Options(NamedTuple):
    """How the answer is printed, where a server listens, how long to wait for it, and whether through a proxy."""

    json: Json = False
    address: Address = "127.0.0.1:50051"
    timeout_s: Timeout = 5.0
    use_proxy: UseProxy = False


def calls_server(command: Command) -> Command:
    """Give a command, in place of its parameter `options`, the options that all calls share."""

    @wraps(command)
    def run(**given: object) -> None:
        command(Options(**{name: given.pop(name) for name in Options._fields}), **given)  # type: ignore[arg-type]

    own = [one for one in inspect.signature(command).parameters.values() if one.name != "options"]
    shared = inspect.signature(Options).parameters.values()
    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*own, *shared)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def call_and_print(
    options: Options, call: Call[Response], show: Callable[[Response], None], *, reads: bool = False, **ids: str
) -> Response:
    """Make one call and print its response; otherwise fail with a sentence that names `ids`, what it is about.

    After a call that only `reads` nothing is unknown.
    """
    response = _ask(options, call, reads, ids)
    print_json(response) if options.json else show(response)
    return response


def _ask(options: Options, call: Call[Response], reads: bool, ids: dict[str, str]) -> Response:
    progress = _Progress()
    try:
        return asyncio.run(_call(options, call, progress))
    except errors.HoldfastError as error:
        raise failure_of(error, ids) from None
    except (OSError, ValueError) as error:  # of an address, a switch or a certificate
        if progress.is_sent:
            raise
        fail(f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error))
    except KeyboardInterrupt:
        if reads or not progress.is_sent:
            fail(f"{describe(ids)}: interrupted; nothing was done", NOT_DONE, "CANCELLED")
        unknown = "interrupted while the call was out; it is unknown whether this was done: repeat it with the same ids"
        fail(f"{describe(ids)}: {unknown}", UNKNOWN, "CANCELLED")


class _Progress:
    """Whether a call was sent: from then on it may have been done."""

    is_sent = False


async def _call(options: Options, call: Call[Response], progress: _Progress) -> Response:
    usual, timeout_s = RetryPolicy(), options.timeout_s
    # An attempt that gets no answer leaves time for another, and for another server.
    policy = replace(usual, overall_s=timeout_s, ledger_attempt_s=min(usual.ledger_attempt_s, timeout_s / 2))
    server = {**from_environment(), "address": options.address, "use_proxy": options.use_proxy}
    async with Client(**server, channels=1, retry=policy) as client:
        if not await client.reach(within_s=min(options.timeout_s, CONNECT_S)):
            where = f"by TLS at {options.address}: {NO_TLS}" if server["tls"] else f"at {options.address}: {START_ONE}"
            fail(f"no server answers {where}", NOT_DONE, "UNAVAILABLE")
        progress.is_sent = True
        return await call(client)
