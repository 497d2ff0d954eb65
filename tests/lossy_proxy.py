"""A proxy before Redis that drops one reply: Redis has run the command, and the client does not get the result."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal
from urllib.parse import urlsplit

CHUNK = 65_536


class LossyProxy:
    """Forwards bytes both ways until a command contains `marker`; the reply to that command is dropped.

    The connection then breaks, or stays open and silent for ever. It happens once.
    """

    def __init__(self, marker: bytes, then: Literal["breaks", "is silent"]) -> None:
        self.lost: list[bytes] = []  # the reply that was lost
        self.marked = 0  # how many commands with the marker went by
        self._marker = marker
        self._then = then

    @asynccontextmanager
    async def to(self, redis_url: str) -> AsyncIterator[str]:
        """Listen; yields the URL of the proxy."""
        redis = urlsplit(redis_url)
        server = await asyncio.start_server(
            lambda reader, writer: self._serve(reader, writer, str(redis.hostname), int(redis.port or 0)), "127.0.0.1"
        )
        async with server:
            host, port = server.sockets[0].getsockname()
            yield f"redis://{host}:{port}{redis.path}"

    async def _serve(
        self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter, host: str, port: int
    ) -> None:
        redis_reader, redis_writer = await asyncio.open_connection(host, port)
        marked, over = asyncio.Event(), asyncio.Event()
        try:
            await asyncio.gather(
                self._forward_commands(client_reader, redis_writer, marked, over),
                self._forward_replies(redis_reader, client_writer, marked, over),
            )
        except ConnectionError:
            pass  # either end may disconnect
        finally:
            client_writer.close()
            redis_writer.close()

    async def _forward_commands(
        self,
        client_reader: asyncio.StreamReader,
        redis_writer: asyncio.StreamWriter,
        marked: asyncio.Event,
        over: asyncio.Event,
    ) -> None:
        """A client that leaves early does not take back what it has sent: Redis is given time to reply."""
        while command := await client_reader.read(CHUNK):
            self.marked += command.count(self._marker) > 0
            if self._marker in command and not self.lost:
                marked.set()
            redis_writer.write(command)
        if marked.is_set():
            await over.wait()
        redis_writer.close()

    async def _forward_replies(
        self,
        redis_reader: asyncio.StreamReader,
        client_writer: asyncio.StreamWriter,
        marked: asyncio.Event,
        over: asyncio.Event,
    ) -> None:
        try:
            while reply := await redis_reader.read(CHUNK):
                if marked.is_set():
                    self.lost.append(reply)
                    over.set()
                    if self._then == "breaks":
                        client_writer.close()
                else:
                    client_writer.write(reply)
        finally:
            over.set()
        client_writer.close()
