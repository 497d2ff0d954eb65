"""`holdfast up`: run the whole stack in a terminal until Ctrl-C."""

import os
import queue
import shlex
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from holdfast_embedded.console import Console, wants_colours
from holdfast_embedded.data_dir import BadDataDir, DataDir, default_data_dir
from holdfast_embedded.postgres_identity import CannotRunPostgres
from holdfast_embedded.process import wait_until
from holdfast_embedded.server import ServerFailed
from holdfast_embedded.stack import DEFAULT_LISTEN, Stack, StackFailed

POLL_S = 0.1
QUIET_S, MAX_QUIET_WAIT_S = 0.7, 5.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXIT_FAILED, EXIT_KILLED_ALL = 1, 130
START_ERRORS = (BadDataDir, CannotRunPostgres, ServerFailed, StackFailed)

Signals = queue.SimpleQueue[int]


def up(
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Where Valkey and PostgreSQL keep their data; usually ~/.local/share/holdfast if not given.",
            show_default=False,
        ),
    ] = None,
    listen: Annotated[
        str, typer.Option(help="Where calls are taken, host:port; port 0: any.", envvar="HOLDFAST_LISTEN")
    ] = DEFAULT_LISTEN,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what an earlier `up` kept there.")] = False,
    topics: Annotated[
        list[str] | None,
        typer.Option(
            "--topic",
            metavar="NAME",
            help="A topic of a program of yours, made on the embedded broker too; repeat for more, none if not given.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run Valkey, PostgreSQL, a broker and every Holdfast process on this machine, until Ctrl-C.

    HOLDFAST_REDIS_URL, HOLDFAST_POSTGRES_DSN and HOLDFAST_KAFKA_BROKERS each put a server of yours in the place of
    an embedded one, and every other HOLDFAST_ variable is handed on to the processes: `holdfast serve --help` and the
    help of the others list them; HOLDFAST_WORKERS=2 has two processes serve. What is in the data folder stays for the
    next time.
    """
    console = Console(sys.stdout, wants_colours(sys.stdout))
    folder = data_dir or default_data_dir()
    try:
        if fresh:
            delete_data(folder)
        stack = Stack(folder, os.environ, console.write_line, listen)
    except START_ERRORS as error:
        console.write_line("up", str(error))
        raise typer.Exit(EXIT_FAILED) from None
    raise typer.Exit(run(stack, console, topics or ()))


def delete_data(folder: Path) -> None:
    """Delete a stack's data; BadDataDir if a running stack uses it."""
    data_dir = DataDir(folder)
    with data_dir.locked():
        data_dir.delete_contents()


def run(stack: Stack, console: Console, topics: Sequence[str] = ()) -> int:
    """Start the stack, run it until a stop signal or a failure, and stop it; return the exit code."""
    signals = queue_stop_signals()
    with ThreadPoolExecutor() as threads:
        failure = wait_for_signal_or_failure(stack, threads.submit(start, stack, console, topics), signals)
        if failure is not None:
            console.write_line("up", failure)
        console.write_line("up", "stopping; Ctrl-C again ends everything at once")
        wait_until_stopped(stack, threads.submit(stack.stop), signals)
        console.write_line("up", "everything is stopped")
    return 0 if failure is None else EXIT_FAILED


def start(stack: Stack, console: Console, topics: Sequence[str]) -> None:
    """Start the stack, with more topics, and print when it is ready and which commands to try."""
    stack.start()
    if topics:
        stack.create_topics(*topics)
    try:
        stack.wait_ready()
    except StackFailed as not_ready:  # a frozen shard, perhaps: the others are served, and the log says more
        console.write_line("up", str(not_ready))
        return
    # Printed once the processes have logged their own start, so that these lines are the last on the screen.
    wait_until(lambda: console.idle_s() >= QUIET_S, MAX_QUIET_WAIT_S)
    if stack.not_ready_reason() is not None:  # the stack, or one of its processes, was stopped meanwhile
        return
    console.write_line("up", f"ready: serving at {stack.addresses.listen}, data is kept in {stack.data_dir.path}")
    for line in suggest_commands(stack):
        console.write_line("up", line)


def suggest_commands(stack: Stack) -> Iterator[str]:
    """What to type in another terminal: a first call, and the addresses that audit and doctor need."""
    holdfast = "holdfast" if shutil.which("holdfast") else Path(sys.executable).with_name("holdfast")
    address = "" if stack.addresses.listen == DEFAULT_LISTEN else f"HOLDFAST_ADDRESS={stack.addresses.listen} "
    yield f"try, in another terminal: {address}{holdfast} sale create lamp-sale --item lamp=100"
    yield from what_calls_need(os.environ)
    if exports := " ".join(f"{variable}={shlex.quote(value)}" for variable, value in stack.embedded_addresses.items()):
        yield f"for `holdfast audit` and `holdfast doctor` there: export {exports}"


def what_calls_need(environment: Mapping[str, str]) -> Iterator[str]:
    """Which variables a caller sets, where the server asks for TLS, certificates or tokens."""
    if environment.get("HOLDFAST_TLS_CLIENT_CA_FILE"):
        files = "HOLDFAST_CA_FILE, HOLDFAST_CLIENT_CERT_FILE and HOLDFAST_CLIENT_KEY_FILE"
        yield f"calls need TLS and a client certificate: set {files} there"
    elif environment.get("HOLDFAST_TLS_CERT_FILE"):
        yield "calls need TLS: set HOLDFAST_CA_FILE there"
    if environment.get("HOLDFAST_AUTH_JWKS_FILE") or environment.get("HOLDFAST_AUTH_SECRET_FILE"):
        yield "calls need a token: set HOLDFAST_TOKEN_FILE there"


def wait_for_signal_or_failure(stack: Stack, starting: Future[None], signals: Signals) -> str | None:
    """Wait for a stop signal (None), or until the stack cannot go on (the reason)."""
    while not signal_received(signals):
        if stack.failure:
            return stack.failure
        if starting.done() and (error := starting.exception()):
            return str(error) if isinstance(error, START_ERRORS) else "".join(traceback.format_exception(error))
    return None


def wait_until_stopped(stack: Stack, stopping: Future[None], signals: Signals) -> None:
    """Wait until everything has stopped in order; a second signal kills everything and exits at once."""
    while not stopping.done():
        if signal_received(signals):
            stack.kill_all()
            os._exit(EXIT_KILLED_ALL)
    stopping.result()


def signal_received(signals: Signals) -> bool:
    """Wait up to POLL_S for a stop signal; return whether one came."""
    try:
        signals.get(timeout=POLL_S)
    except queue.Empty:
        return False
    return True


def queue_stop_signals() -> Signals:
    """Install handlers that put each stop signal into a SimpleQueue, the one queue that a handler may use safely."""
    signals: Signals = queue.SimpleQueue()
    for number in STOP_SIGNALS:
        signal.signal(number, lambda received, _frame: signals.put(received))
    return signals
