"""A proxy before a server of any kind, which can be away or silent for a while, as the server itself would be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

CHUNK = 65_536


class OutageProxy:
    """Forwards bytes both ways, unless the test has taken the server away."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._is_away = False
        self._goes_on = asyncio.Event()
        self._goes_on.set()
        self._open = set[asyncio.StreamWriter]()

    def take_away(self) -> None:
        """Close each connection, also new ones."""
        self._is_away = True
        for writer in self._open:
            writer.close()

    def halt(self) -> None:
        """Forward nothing from now on."""
        self._goes_on.clear()

    def bring_back(self) -> None:
        """Forward again, also what was held back."""
        self._is_away = False
        self._goes_on.set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Listen; yields the URL of the server by way of the proxy."""
        server = await asyncio.start_server(self._serve, "127.0.0.1")
        host, port = server.sockets[0].getsockname()
        user = self._target.netloc.rpartition("@")[0]
        try:
            yield self._target._replace(netloc=f"{user}@{host}:{port}" if user else f"{host}:{port}").geturl()
        finally:
            server.close()
            self.take_away()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_away:
            writer.close()
            return
        server_reader, server_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        self._open |= {writer, server_writer}
        await asyncio.gather(self._forward(reader, server_writer), self._forward(server_reader, writer))
        self._open -= {writer, server_writer}

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._goes_on.wait()
                writer.write(data)
        writer.close()
