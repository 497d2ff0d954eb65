"""`holdfast up`: run the whole stack in a terminal until Ctrl-C."""

import os
import queue
import shlex
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from holdfast_embedded.child import wait_until
from holdfast_embedded.console import Console, wants_colours
from holdfast_embedded.data_dir import BadDataDir, DataDir, default_data_dir
from holdfast_embedded.postgres_seat import NoSeat
from holdfast_embedded.server import ServerFailed
from holdfast_embedded.stack import DEFAULT_LISTEN, Stack, StackFailed

POLL_S = 0.1
PAUSE_S, LONGEST_PAUSE_S = 0.7, 5.0
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXIT_FAILED, EXIT_INSISTED = 1, 130
EXPECTED = (BadDataDir, NoSeat, ServerFailed, StackFailed)

Asked = queue.SimpleQueue[int]


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
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw away what an earlier `up` kept there.")] = False,
) -> None:
    """Run Valkey, PostgreSQL, a broker and every Holdfast process on this machine, until Ctrl-C.

    HOLDFAST_REDIS_URL, HOLDFAST_POSTGRES_DSN and HOLDFAST_KAFKA_BROKERS each put a server of yours in the place of
    an embedded one, and every other HOLDFAST_ variable is handed on to the processes: `holdfast serve --help` and the
    help of the others list them. What is in the data folder stays for the next time.
    """
    console = Console(sys.stdout, wants_colours(sys.stdout))
    folder = data_dir or default_data_dir()
    try:
        if fresh:
            begin_afresh(folder)
        stack = Stack(folder, os.environ, console.say, listen)
    except EXPECTED as error:
        console.say("up", str(error))
        raise typer.Exit(EXIT_FAILED) from None
    raise typer.Exit(run(stack, console))


def begin_afresh(folder: Path) -> None:
    """Throw the data away, unless somebody uses it."""
    data_dir = DataDir(folder)
    with data_dir.held():
        data_dir.empty()


def run(stack: Stack, console: Console) -> int:
    """Start, run until asked to end or unable to go on, and stop; the exit code."""
    asked = listen_for_endings()
    with ThreadPoolExecutor() as helpers:
        failure = wait_for_the_end(stack, helpers.submit(start, stack, console), asked)
        if failure is not None:
            console.say("up", failure)
        console.say("up", "stopping; Ctrl-C again ends everything at once")
        wait_for_the_stop(stack, helpers.submit(stack.stop), asked)
        console.say("up", "everything is stopped")
    return 0 if failure is None else EXIT_FAILED


def start(stack: Stack, console: Console) -> None:
    """Start everything, and say when it can be used and what to try."""
    stack.start()
    try:
        stack.wait_ready()
    except StackFailed as not_yet:  # a frozen shard, perhaps: the others serve, and the log says more
        console.say("up", str(not_yet))
        return
    # What follows is for a person, so it comes once the processes have told of their own start.
    wait_until(lambda: console.silent_s() >= PAUSE_S, LONGEST_PAUSE_S)
    if stack.find_missing() is not None:  # it was ended meanwhile, or a server was
        return
    console.say("up", f"ready: calls are taken at {stack.addresses.listen}, data is kept in {stack.data_dir.path}")
    for line in hints(stack):
        console.say("up", line)


def hints(stack: Stack) -> Iterator[str]:
    """What to type in another terminal: a question to a server, and how to reach what audit and doctor ask."""
    holdfast = "holdfast" if shutil.which("holdfast") else Path(sys.executable).with_name("holdfast")
    elsewhere = "" if stack.addresses.listen == DEFAULT_LISTEN else f"HOLDFAST_ADDRESS={stack.addresses.listen} "
    yield f"try, in another terminal: {elsewhere}{holdfast} sale create lamp-sale --item lamp=100"
    if own := " ".join(f"{variable}={shlex.quote(value)}" for variable, value in stack.own_addresses.items()):
        yield f"for `holdfast audit` and `holdfast doctor` there: export {own}"


def wait_for_the_end(stack: Stack, starting: Future[None], asked: Asked) -> str | None:
    """Wait until somebody asks us to end (None), or until it makes no sense to go on (the reason)."""
    while not was_asked(asked):
        if stack.failure:
            return stack.failure
        if starting.done() and (error := starting.exception()):
            return str(error) if isinstance(error, EXPECTED) else "".join(traceback.format_exception(error))
    return None


def wait_for_the_stop(stack: Stack, stopping: Future[None], asked: Asked) -> None:
    """Wait until all is stopped in order; whoever asks once more has it at once."""
    while not stopping.done():
        if was_asked(asked):
            stack.kill_all()
            os._exit(EXIT_INSISTED)
    stopping.result()


def was_asked(asked: Asked) -> bool:
    """Say whether somebody asks us to end, within a moment."""
    try:
        asked.get(timeout=POLL_S)
    except queue.Empty:
        return False
    return True


def listen_for_endings() -> Asked:
    """Have each signal that asks us to end put into a queue of the one kind that a signal handler may touch."""
    asked: Asked = queue.SimpleQueue()
    for ending in ENDINGS:
        signal.signal(ending, lambda number, _frame: asked.put(number))
    return asked
