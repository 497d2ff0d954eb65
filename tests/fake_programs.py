"""Fakes of Holdfast's programs for the tests of the embedded stack: `python -m tests.fake_programs NAME`.

Each does only what the supervisor sees of the real program, so that these tests are quick and fail only for faults of
the supervisor. Slow imports are inside the functions that need them.
`python -m tests.fake_programs up DATA_DIR` is `holdfast up` with these programs.
"""

import os
import signal
import socket
import sys
import threading
from pathlib import Path

from holdfast_embedded.program import ProgramSpec, ProgramSpecs

GRACE_S = 25.0  # an orderly exit takes a moment, and longer on a busy machine


def fake_spec(name: str, function: str, *, uses_broker: bool = False, grace_s: float = GRACE_S) -> ProgramSpec:
    """Return the spec of a program of that name which runs a function of this module."""
    return ProgramSpec(name, ("-m", "tests.fake_programs", function), uses_broker, grace_s)


def fake_specs(persist: str = "work", grace_s: float = GRACE_S) -> ProgramSpecs:
    """Return the specs of a whole stack of fakes."""
    return ProgramSpecs(
        migrate=fake_spec("migrate", "succeed"),
        topics=fake_spec("topics", "succeed"),
        init=fake_spec("init", "open_shards"),
        services=(
            fake_spec("serve", "serve"),
            fake_spec("compensate", "work", uses_broker=True),
            fake_spec("relay", "takeover", uses_broker=True),
            fake_spec("persist", persist, uses_broker=True, grace_s=grace_s),
        ),
    )


def succeed() -> None:
    """Exit with 0."""


def work() -> None:
    """Print the broker's address, and run until SIGTERM."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    print(f"broker {os.environ['HOLDFAST_KAFKA_BROKERS']}", flush=True)
    while not stopping.wait(timeout=0.05):
        pass
    print("stopped in order", flush=True)


def hang() -> None:
    """Ignore SIGTERM, as a hanging shutdown of Faust does."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ignores SIGTERM", flush=True)
    threading.Event().wait()


def reject_settings() -> None:
    """Exit as a process with invalid settings does."""
    print("HOLDFAST_DRAIN_S: makes no sense", flush=True)
    sys.exit(2)


def serve() -> None:
    """Listen on HOLDFAST_LISTEN until SIGTERM, and speak first, as a gRPC server does."""
    host, _, port = os.environ["HOLDFAST_LISTEN"].rpartition(":")
    listener = socket.create_server((host, int(port)), backlog=64)

    def answer() -> None:
        while True:
            listener.accept()[0].sendall(b"settings")

    threading.Thread(target=answer, daemon=True).start()
    work()


def open_shards() -> None:
    """Mark every shard as owned by the present run of Redis, and count how often this program ran."""
    from redis import Redis

    redis = Redis.from_url(os.environ["HOLDFAST_REDIS_URL"], decode_responses=True)
    for shard in range(int(os.environ["HOLDFAST_SHARDS"])):
        redis.hset(f"holdfast:{{{shard}}}:meta", "owner", redis.info("replication")["master_replid"])
    redis.incr("times_opened")


def takeover() -> None:
    """Mark every shard that was opened before as owned by the present run of Redis, and run until SIGTERM."""
    from redis import Redis

    redis = Redis.from_url(os.environ["HOLDFAST_REDIS_URL"], decode_responses=True)
    for key in redis.keys("holdfast:*:meta"):
        redis.hset(key, "owner", redis.info("replication")["master_replid"])
    work()


def up() -> None:
    """Run `holdfast up` with these programs; the second argument is the data folder."""
    from holdfast_embedded.console import Console
    from holdfast_embedded.stack import Stack
    from holdfast_embedded.up import run

    console = Console(sys.stdout, colours=False)
    stack = Stack(Path(sys.argv[2]), os.environ, console.write_line, "127.0.0.1:0", fake_specs())
    sys.exit(run(stack, console))


if __name__ == "__main__":
    globals()[sys.argv[1]]()
