"""The connections of a client: channels with their stubs for each event loop, and the calls that are under way."""

import asyncio
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from holdfast.access import Access
from holdfast.errors import Closed
from holdfast.inventory.v1.inventory_admin_service_pb2_grpc import InventoryAdminServiceStub
from holdfast.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub

if TYPE_CHECKING:
    from holdfast.inventory.v1.inventory_admin_service_pb2_grpc import InventoryAdminServiceAsyncStub
    from holdfast.inventory.v1.inventory_service_pb2_grpc import InventoryServiceAsyncStub

OTHER_LOOP_S = 5.0  # for the loop of another thread to close its connections

# A process that was forked from one that has used gRPC lacks gRPC's threads: a call waits for ever, and a channel that
# is freed ends the process by a signal. So the channels of the parent are kept there for ever, and no call is made.
_open: "set[Connections]" = set()
_connected: set[int] = set()  # processes that have connected, each carried over its forks


def check_not_forked() -> None:
    """Raises `Closed` in a process that was forked after its parent had connected."""
    if _connected - {os.getpid()}:
        raise Closed(
            message="This process was forked after a client of its parent had connected, and gRPC works in no such"
            " process: fork before the first call, or start processes by another method than fork."
        )


class Stubs(NamedTuple):
    """The methods of both services on one channel."""

    buyers: "InventoryServiceAsyncStub"
    operators: "InventoryAdminServiceAsyncStub"


class Connections:
    """The channels of one event loop: of the one that runs when they are made."""

    def __init__(self, access: Access) -> None:
        self.loop = asyncio.get_running_loop()
        self.process = os.getpid()
        self._channels = access.open_channels()
        self._stubs = [Stubs(InventoryServiceStub(one), InventoryAdminServiceStub(one)) for one in self._channels]
        self._turn = 0
        self._calls: set[asyncio.Timeout] = set()
        self._idle = asyncio.Event()
        _open.add(self)
        _connected.add(self.process)

    def next_turn(self) -> int:
        """Whose turn it is: the number of a channel."""
        self._turn = (self._turn + 1) % len(self._stubs)
        return self._turn

    def in_turn(self, first: int | None = None) -> Iterator[Stubs]:
        """The stubs for the attempts of one call, without end: each attempt goes to the next server."""
        turn = self.next_turn() if first is None else first
        while True:
            yield self._stubs[turn % len(self._stubs)]
            turn += 1

    @contextmanager
    def under_way(self, limit: asyncio.Timeout) -> Iterator[None]:
        """Inside the block `close` ends the call that has this limit."""
        self._calls.add(limit)
        try:
            yield
        finally:
            self._calls.discard(limit)
            if not self._calls:
                self._idle.set()

    async def ready(self) -> None:
        """Wait until a channel is connected."""
        attempts = [asyncio.ensure_future(channel.channel_ready()) for channel in self._channels]
        try:
            await asyncio.wait(attempts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for attempt in attempts:
                attempt.cancel()
            await asyncio.gather(*attempts, return_exceptions=True)

    async def end(self) -> None:
        """Close these connections from whichever loop; those of a process before a fork are left alone."""
        if self.process != os.getpid():
            return
        try:
            if self.loop is asyncio.get_running_loop():
                await self._close()
            elif self.loop.is_running():
                closing = asyncio.run_coroutine_threadsafe(self._close(), self.loop)
                # A loop that stops meanwhile cancels this, or leaves it: its calls have ended then.
                await asyncio.wait([asyncio.wrap_future(closing)], timeout=OTHER_LOOP_S)
        finally:
            self.drop()

    async def _close(self) -> None:
        """End the calls that are under way, wait until they have ended, and close the channels."""
        self._idle.clear()
        for limit in self._calls:
            if not limit.expired():
                limit.reschedule(self.loop.time())
        if self._calls:
            await self._idle.wait()
        await asyncio.gather(*(channel.close() for channel in self._channels))

    def drop(self) -> None:
        """Free the channels, which closes them; not in a forked process, which this would end by a signal."""
        if self.process == os.getpid():
            _open.discard(self)
            self._channels.clear()
            self._stubs.clear()


class Pool:
    """The connections of one client, on each event loop that uses it; they open when they are first used."""

    def __init__(self, access: Access) -> None:
        self.is_closed = False
        self._access = access
        self._by_loop: dict[asyncio.AbstractEventLoop, Connections] = {}
        weakref.finalize(self, _drop, self._by_loop).atexit = False

    def connections(self) -> Connections:
        """Those of the running loop; raises `Closed` if there can be none."""
        check_not_forked()
        if self.is_closed:
            raise Closed
        loop = asyncio.get_running_loop()
        if loop not in self._by_loop:
            for ended in [other for other in self._by_loop if other.is_closed()]:
                self._by_loop.pop(ended).drop()
            self._by_loop[loop] = Connections(self._access)
        return self._by_loop[loop]

    async def close(self) -> None:
        """Close all connections, for good."""
        self.is_closed = True
        everywhere = list(self._by_loop.values())
        self._by_loop.clear()
        await asyncio.gather(*(connections.end() for connections in everywhere))


def _drop(by_loop: dict[asyncio.AbstractEventLoop, Connections]) -> None:
    for connections in by_loop.values():
        connections.drop()
