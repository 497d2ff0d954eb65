"""Fake programs in the place of Holdfast's own under the supervisor: `python -m tests.fake_programs NAME`.

They do what the supervisor sees of a program and no more, so its tests are quick and fail for its faults only. What
takes long to import is imported by who needs it.
`python -m tests.fake_programs up DATA_DIR` is `holdfast up` with them.
"""

import os
import signal
import socket
import sys
import threading
from pathlib import Path

from holdfast_embedded.program import Plan, Plans

GRACE_S = 25.0  # who ends in order ends at once, but on a busy machine


def plan(name: str, does: str, *, uses_broker: bool = False, grace_s: float = GRACE_S) -> Plan:
    """Return the plan of a program of that name which does what a function below does."""
    return Plan(name, ("-m", "tests.fake_programs", does), uses_broker, grace_s)


def plans(persist: str = "work", grace_s: float = GRACE_S) -> Plans:
    """Return a whole stack of fake programs."""
    return Plans(
        migrate=plan("migrate", "pass_by"),
        topics=plan("topics", "pass_by"),
        init=plan("init", "open_shards"),
        services=(
            plan("serve", "serve"),
            plan("compensate", "work", uses_broker=True),
            plan("relay", "takeover", uses_broker=True),
            plan("persist", persist, uses_broker=True, grace_s=grace_s),
        ),
    )


def pass_by() -> None:
    """Do nothing, successfully."""


def work() -> None:
    """Say where the broker is, and wait for the end."""
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    print(f"broker {os.environ['HOLDFAST_KAFKA_BROKERS']}", flush=True)
    while not asked.wait(timeout=0.05):
        pass
    print("ended in order", flush=True)


def ignore() -> None:
    """Hear no polite request, as Faust does at times."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf", flush=True)
    threading.Event().wait()


def refuse() -> None:
    """End as a process with bad settings does."""
    print("HOLDFAST_DRAIN_S: makes no sense", flush=True)
    sys.exit(2)


def serve() -> None:
    """Listen where the environment says."""
    host, _, port = os.environ["HOLDFAST_LISTEN"].rpartition(":")
    with socket.create_server((host, int(port)), backlog=64):
        work()


def open_shards() -> None:
    """Mark every shard as served by the Redis that runs now."""
    from redis import Redis

    redis = Redis.from_url(os.environ["HOLDFAST_REDIS_URL"], decode_responses=True)
    for shard in range(int(os.environ["HOLDFAST_SHARDS"])):
        redis.hset(f"holdfast:{{{shard}}}:meta", "owner", redis.info("server")["run_id"])
    redis.incr("times_opened")


def takeover() -> None:
    """Mark every shard that was opened before, and work."""
    from redis import Redis

    redis = Redis.from_url(os.environ["HOLDFAST_REDIS_URL"], decode_responses=True)
    for key in redis.keys("holdfast:*:meta"):
        redis.hset(key, "owner", redis.info("server")["run_id"])
    work()


def up() -> None:
    """Run `holdfast up` with fake programs; the second argument is the data folder."""
    from holdfast_embedded.console import Console
    from holdfast_embedded.stack import Stack
    from holdfast_embedded.up import run

    console = Console(sys.stdout, colours=False)
    sys.exit(run(Stack(Path(sys.argv[2]), os.environ, console.say, "127.0.0.1:0", plans()), console))


if __name__ == "__main__":
    globals()[sys.argv[1]]()
