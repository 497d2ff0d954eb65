"""A proxy before PostgreSQL that can be halted like a frozen server, which takes connections and never answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

CHUNK = 65_536


class HaltingProxy:
    """Forwards bytes both ways until it is halted."""

    def __init__(self, dsn: str) -> None:
        self._dsn = urlsplit(dsn)
        self._goes_on = True
        self._connections = set[asyncio.Task[None]]()

    def halt(self) -> None:
        """Forward nothing from now on."""
        self._goes_on = False

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Listen; yields the DSN of the proxy."""
        server = await asyncio.start_server(self._accept, "127.0.0.1")
        host, port = server.sockets[0].getsockname()
        user = self._dsn.netloc.rpartition("@")[0]
        try:
            yield self._dsn._replace(netloc=f"{user}@{host}:{port}" if user else f"{host}:{port}").geturl()
        finally:
            server.close()
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(self._dsn.hostname, self._dsn.port)
        try:
            await asyncio.gather(self._forward(reader, server_writer), self._forward(server_reader, writer))
        finally:
            writer.close()
            server_writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            if self._goes_on:
                writer.write(data)
        writer.close()
