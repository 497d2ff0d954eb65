"""Calls to a server: the options that all such commands share, and what becomes of the calls."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Annotated, NamedTuple, NoReturn, TypeVar

import typer
from google.protobuf.message import Message

from holdfast import errors
from holdfast.access import Tls, from_environment
from holdfast.cli.fail import NOT_DONE, UNKNOWN, about, fail, failure_of
from holdfast.cli.json_output import print_json
from holdfast.cli.parsing import finite_seconds
from holdfast.client import Client
from holdfast.retry import RetryPolicy

START_ONE = "start one with `holdfast up`, or set HOLDFAST_ADDRESS, or HOLDFAST_CA_FILE if one there speaks TLS"
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

Result = TypeVar("Result")
Response = TypeVar("Response", bound=Message)
Call = Callable[[Client], Awaitable[Result]]
Command = Callable[..., None]
Interrupted = Callable[[bool], NoReturn]  # ends the command on Ctrl-C; is told whether a call was sent


class Options(NamedTuple):
    """How the answer is printed, where a server listens, how long to wait for it, and whether through a proxy."""

    json: Json = False
    address: Address = "127.0.0.1:50051"
    timeout_s: Timeout = 5.0
    use_proxy: UseProxy = False


def calls_server(command: Command) -> Command:
    """Give a command, in place of each parameter that is a group of options such as `Options`, those options."""
    parameters = inspect.signature(command).parameters.values()
    groups = {one.name: one.annotation for one in parameters if hasattr(one.annotation, "_fields")}

    @wraps(command)
    def run(**given: object) -> None:
        for name, group in groups.items():
            given[name] = group(**{field: given.pop(field) for field in group._fields})
        command(**given)

    own = [one for one in parameters if one.name not in groups]
    shared = [one for group in groups.values() for one in inspect.signature(group).parameters.values()]
    every = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*own, *shared)]
    run.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in every}
    return run


def call_and_print(
    options: Options, call: Call[Response], show: Callable[[Response], None], *, reads: bool = False, **ids: str
) -> Response:
    """Make one call and print its response; otherwise fail with a sentence that names `ids`, what it is about.

    After a call that only `reads` nothing is unknown.
    """
    response = ask(options, call, ids, reads_interrupted(ids) if reads else change_interrupted(ids))
    print_json(response) if options.json else show(response)
    return response


def ask(options: Options, call: Call[Result], ids: Mapping[str, str], interrupted: Interrupted) -> Result:
    """Connect and run a coroutine that makes calls; otherwise fail with a sentence that names `ids`."""
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
        interrupted(progress.is_sent)


def reads_interrupted(ids: Mapping[str, str]) -> Interrupted:
    """How a call that changes nothing ends on Ctrl-C."""
    return lambda is_sent: fail(about(ids, "interrupted; nothing was done"), NOT_DONE, "CANCELLED")


def change_interrupted(ids: Mapping[str, str]) -> Interrupted:
    """How a call that changes something ends on Ctrl-C: once it was sent it may have been done."""
    unknown = "interrupted while the call was out; it is unknown whether this was done: repeat it with the same ids"

    def end(is_sent: bool) -> NoReturn:
        if is_sent:
            fail(about(ids, unknown), UNKNOWN, "CANCELLED")
        reads_interrupted(ids)(is_sent)

    return end


class _Progress:
    """Whether a call was sent: from then on it may have been done."""

    is_sent = False


async def _call(options: Options, call: Call[Result], progress: _Progress) -> Result:
    usual, timeout_s = RetryPolicy(), options.timeout_s
    # An attempt that gets no answer leaves time for another, and for another server.
    policy = replace(usual, overall_s=timeout_s, ledger_attempt_s=min(usual.ledger_attempt_s, timeout_s / 2))
    server = {**from_environment(), "address": options.address, "use_proxy": options.use_proxy}
    async with Client(**server, channels=1, retry=policy) as client:
        if not await client.reach(within_s=min(options.timeout_s, CONNECT_S)):
            by, advice = ("by TLS ", _check_tls(server["tls"])) if server["tls"] else ("", START_ONE)
            fail(f"no server answers {by}at {options.address}: {advice}", NOT_DONE, "UNAVAILABLE")
        progress.is_sent = True
        return await call(client)


def _check_tls(tls: Tls) -> str:
    """What to look at when no connection comes about: gRPC does not say what a server refused, nor who."""
    signed = (
        f"of an authority in {tls.ca_file}"
        if tls.ca_file
        else "of a public authority, since HOLDFAST_CA_FILE is not set"
    )
    own = (
        f"it takes {tls.cert_file}"
        if tls.cert_file
        else "it asks for no certificate, since HOLDFAST_CLIENT_CERT_FILE is not set"
    )
    return f"check that one runs there with TLS, that its certificate is for this name and {signed}, and that {own}"
