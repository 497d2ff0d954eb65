"""`holdfast bench`: run a shape against a server, and print how it answered."""

import ipaddress
import json
from importlib.metadata import version
from typing import Annotated, Any, NoReturn

import typer
from holdfast.access import from_environment
from holdfast.cli.ask import Options, ask, calls_server
from holdfast.cli.ask_first import Yes, ask_first
from holdfast.cli.fail import INTERRUPTED, NO, NOT_DONE, fail
from holdfast.cli.terminal import messages, printable, screen
from holdfast.client import Client
from rich.console import Console
from rich.table import Table

from holdfast_bench import ghz
from holdfast_bench.load import LoadFailed
from holdfast_bench.runs import Run, Target, WrongAnswers
from holdfast_bench.shapes import MOST_SECONDS, BadShape, Shape, all_shapes, find_shape

NAMES = ", ".join(shape.name for shape in all_shapes())

ShapeOrFile = Annotated[
    str, typer.Argument(metavar="[SHAPE|FILE]", help=f"One of {NAMES}, or a TOML file with a shape of yours.")
]
SaleId = Annotated[
    str,
    typer.Option("--sale", help="Buy from this sale; if not given, from sales of its own, which it closes afterwards."),
]
Seconds = Annotated[
    float | None,
    typer.Option(min=0.5, max=MOST_SECONDS, help="How long, every time in proportion; as the shape says if not given."),
]
Scale = Annotated[float, typer.Option(min=0.001, max=1000, help="Times the shape's callers and rates.")]
Audit = Annotated[bool, typer.Option("--audit", help="Compare its sales with the ledger afterwards.")]
Listing = Annotated[bool, typer.Option("--list", help="List the shapes, and put no load on anything.")]


@calls_server
def bench(
    options: Options,
    shape_or_file: ShapeOrFile = "steady",
    sale_id: SaleId = "",
    seconds: Seconds = None,
    scale: Scale = 1.0,
    audit: Audit = False,
    listing: Listing = False,
    yes: Yes = False,
) -> None:
    """Put a load of Reserve calls on a server by ghz, and show how it answered.

    Each call is of another buyer. If calls fail, or ghz cannot send as many as the shape says, there are no figures and
    the exit code is 1. HOLDFAST_GHZ says where ghz is if it is not on the PATH.
    """
    if listing:
        return _list(options.json)
    try:
        shape = find_shape(shape_or_file).scaled(scale, seconds)
    except BadShape as error:
        fail(str(error))
    if why := ghz.missing():
        fail(why, NOT_DONE, "FAILED_PRECONDITION")
    _confirm(options.address, shape, yes)
    figures = ask(options, lambda client: _run(client, options, shape, sale_id, audit), {}, _interrupted)
    result = {"shape": shape.name, "address": options.address, "version": version("holdfast"), **figures}
    print(json.dumps(result, indent=2)) if options.json else _show(screen, shape, result)


async def _run(client: Client, options: Options, shape: Shape, sale_id: str, audit: bool) -> dict[str, Any]:
    """One run, whose sales are closed whatever comes of it."""
    run = Run(client, _target(options), shape, sale_id)
    try:
        await run.prepare()
        with messages.status(shape.title) as status:
            figures = await run.put_load(lambda line: status.update(printable(line)))
        if audit:
            await run.audit()
    except (LoadFailed, WrongAnswers) as error:
        fail(f"no figures: {error}", NO, "ABORTED")
    finally:
        await run.close()
    return {**figures, "audited": audit}


def _target(options: Options) -> Target:
    """How ghz gets to the server: as the client does."""
    found = from_environment()
    token = found["token"]
    text = token() if callable(token) else token or ""
    return Target(options.address, text, found["tls"], options.use_proxy)


def _confirm(address: str, shape: Shape, yes: bool) -> None:
    """A load on another machine may be a load on servers that others need."""
    if "," in address:
        fail("--address must be that of one server: ghz calls no others")
    if not is_loopback(address):
        ask_first(f"Put {shape.seconds:g} s of load on {address}, which is not this machine?", yes)


def is_loopback(address: str) -> bool:
    """Whether an address is on this machine by its form; names but `localhost` are not looked up."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _interrupted(is_sent: bool) -> NoReturn:
    fail("interrupted; its sales are closed" if is_sent else "interrupted; nothing was done", INTERRUPTED, "CANCELLED")


def _list(as_json: bool) -> None:
    if as_json:
        shapes = [{"name": one.name, "title": one.title, "summary": one.summary} for one in all_shapes()]
        return print(json.dumps({"shapes": shapes}, indent=2))
    for shape in all_shapes():
        screen.print(f"{shape.name:<12} {shape.seconds:g} s  {shape.summary}")


def _show(console: Console, shape: Shape, result: dict[str, Any]) -> None:
    """The figures, one a row."""
    latency, units = result["latency_ms"], result["units"]
    rows = {
        "calls": f"{result['calls']:,} in {result['seconds']:.1f} s",
        "answered a second": f"{result['calls_per_s']:,.0f}",
        **{name: f"{units[f'calls_{name}']:,}" for name in ("accepted", "rejected") if f"calls_{name}" in units},
        **{f"latency {name}": f"{latency[name]:,.1f} ms" for name in latency},
        "audit": "Redis and the ledger agree" if result["audited"] else "not asked for",
    }
    console.print(shape.title, style="bold")
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(justify="right")
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)
