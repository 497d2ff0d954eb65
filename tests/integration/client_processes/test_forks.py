"""A client, and its streams, in a process that was forked from one that has used them."""

import os
import subprocess
import sys

from holdfast.inventory.v1.inventory_service_pb2 import (
    GetSaleResponse,
    StreamReserveRequest,
    StreamReserveResponse,
    WatchSaleResponse,
)

from tests.unit.clients.fake_inventory import FakeInventory
from tests.waiting import LONG_S

# A child with channels of its parent ends by `sys.exit`, which frees all that it has. What has used gRPC itself ends by
# `os._exit`: how gRPC's threads end is not what is tested. The script runs in a process of its own, because the process
# of the tests serves with gRPC while it would fork.
FORKS = """
import asyncio, os, sys
from holdfast.blocking import BlockingClient
from holdfast.client import Client
from holdfast.errors import Closed

def in_a_child(end=sys.exit, **calls):
    sys.stdout.flush()
    child = os.fork()
    if not child:
        for name, call in calls.items():
            try:
                call()
                print(name, "works")
            except Closed as closed:
                print(name, "Closed", closed.outcome_unknown)
        sys.stdout.flush()
        end(0)
    if status := os.waitpid(child, 0)[1]:
        print("ended with", status)

address = sys.argv[1]
client, blocking, begun = Client(address), BlockingClient(address), BlockingClient(address)
try:
    begun.extend("lamps", "r-1")  # lacks an argument: a loop runs then that has not connected
except TypeError:
    pass
ask, ask_blocking = lambda: asyncio.run(client.get_sale("lamps")), lambda: blocking.get_sale("lamps")
ask_new = lambda: asyncio.run(Client(address).get_sale("lamps"))
close = lambda: (asyncio.run(client.close()), blocking.close())
free = lambda: globals().update(client=None, blocking=None, ask=None, ask_blocking=None, close=None)

in_a_child(os._exit, unused=ask, unused_blocking=ask_blocking, begun=lambda: begun.get_sale("lamps"))
ask(), ask_blocking()
in_a_child(used=ask, used_blocking=ask_blocking, new=ask_new, close=close, free=free)
ask(), ask_blocking()
close()
in_a_child(closed=ask, closed_blocking=ask_blocking, new_after_close=ask_new)
sys.stdout.flush()
os._exit(0)
"""

# Streams that are open while their process forks: a blocking one, and one of a loop.
FORKS_WITH_STREAMS = (
    FORKS.partition("address = ")[0]
    + """
from holdfast.messages import reserve_request
address, loop = sys.argv[1], asyncio.new_event_loop()
client, blocking = Client(address), BlockingClient(address)
watch, blocking_watch = client.watch_sale("lamps"), blocking.watch_sale("lamps")
stream = client.stream_reserve(reserve_request("lamps", f"r-{number}", "ada", {"lamp": 1}) for number in range(1000))
loop.run_until_complete(anext(watch)), loop.run_until_complete(anext(stream)), next(blocking_watch)
again = lambda one: asyncio.run(asyncio.wait_for(anext(one), 5))
free = lambda: globals().update(client=None, blocking=None, watch=None, blocking_watch=None, stream=None)

in_a_child(
    watch=lambda: again(watch), stream=lambda: again(stream), blocking=lambda: next(blocking_watch),
    leave=lambda: asyncio.run(watch.aclose()), close=blocking_watch.close, free=free,
)
print("parent", loop.run_until_complete(anext(watch)).snapshot, next(blocking_watch).snapshot)
sys.stdout.flush()
os._exit(0)
"""
)


def test_a_client_in_a_forked_process_works_or_says_at_once_that_it_cannot(fake: FakeInventory) -> None:
    """gRPC's threads are missing there: a call would hang, and a channel that is freed would end the process."""
    fake.will_answer("GetSale", *[GetSaleResponse()] * 7)

    script = subprocess.run(
        [sys.executable, "-c", FORKS, fake.address], capture_output=True, text=True, timeout=LONG_S, check=True
    )

    assert script.stdout.splitlines() == [
        "unused works",
        "unused_blocking works",
        "begun works",
        "used Closed False",
        "used_blocking Closed False",
        "new Closed False",
        "close works",
        "free works",
        "closed Closed False",
        "closed_blocking Closed False",
        "new_after_close Closed False",
    ]


def unjudged(message: StreamReserveRequest) -> StreamReserveResponse:
    return StreamReserveResponse(correlation_id=message.correlation_id)


def test_streams_in_a_forked_process_say_at_once_that_they_cannot_go_on(fake: FakeInventory) -> None:
    """They end no stream of the parent, and a process that frees them ends as it should."""
    told = WatchSaleResponse(snapshot=True)
    fake.will_answer("WatchSale", [told] * 2, [told] * 2)
    fake.will_answer(
        "StreamReserve", lambda sent: (StreamReserveResponse(correlation_id=m.correlation_id) for m in sent)
    )
    # With it, gRPC's own handlers end one in five processes that are forked while a call is under way.
    without_handlers = {**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "0"}

    command = [sys.executable, "-c", FORKS_WITH_STREAMS, fake.address]
    script = subprocess.run(command, env=without_handlers, capture_output=True, text=True, timeout=LONG_S, check=True)

    assert script.stdout.splitlines() == [
        "watch Closed False",
        "stream Closed False",
        "blocking Closed False",
        "leave works",
        "close works",
        "free works",
        "parent True True",
    ]
