"""A TCP proxy before one server or another, which can hold back what goes by, as a stalled link would."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

CHUNK = 65_536
HOST = "127.0.0.1"


class SwitchingProxy:
    """Forwards each connection to the server that was chosen when it was opened; a switch cuts none."""

    def __init__(self, port: int) -> None:
        """Forward to this port of this machine, until `switch`."""
        self.port = 0  # its own, once it listens
        self._target = port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._connections: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["SwitchingProxy"]:
        """Accept connections inside the block."""
        server = await asyncio.start_server(self._serve, HOST)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()

    def switch(self, port: int) -> None:
        """Forward connections that come from now on to another port."""
        self._target = port

    def stall(self) -> None:
        """Hold back everything that goes by, on every connection."""
        self._flowing.clear()

    def cut(self) -> None:
        """End every connection, with what was held back on it, and let new ones flow."""
        for writer in self._connections:
            writer.transport.abort()
        self._flowing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            with suppress(OSError):
                to_reader, to_writer = await asyncio.open_connection(HOST, self._target)
                self._connections.add(to_writer)
                await asyncio.gather(self._forward(reader, to_writer), self._forward(to_reader, writer))
                self._connections.discard(to_writer)
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(CHUNK):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()
