"""A proxy before several Redis servers: each new connection leads to the one that the test chose last."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

CHUNK = 65_536


class SwitchingProxy:
    """Connections that exist stay where they lead to."""

    def __init__(self, redis_url: str) -> None:
        self.redis_url = redis_url

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Listen; yields the URL of the proxy."""
        server = await asyncio.start_server(self._serve, "127.0.0.1")
        async with server:
            host, port = server.sockets[0].getsockname()
            yield f"redis://{host}:{port}/0"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        redis = urlsplit(self.redis_url)
        redis_reader, redis_writer = await asyncio.open_connection(redis.hostname, redis.port)
        await asyncio.gather(_forward(reader, redis_writer), _forward(redis_reader, writer), return_exceptions=True)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
    finally:
        writer.close()
