"""A proxy before Redis that loses one reply: Redis did what it was asked, and the caller does not learn of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal
from urllib.parse import urlsplit

CHUNK = 65_536


class LossyProxy:
    """Passes bytes on, both ways, until a command with `marker` in it goes by; the reply to that one is lost.

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
        near_end = await asyncio.start_server(
            lambda reader, writer: self._serve(reader, writer, str(redis.hostname), int(redis.port or 0)), "127.0.0.1"
        )
        async with near_end:
            host, port = near_end.sockets[0].getsockname()
            yield f"redis://{host}:{port}{redis.path}"

    async def _serve(self, ours: asyncio.StreamReader, to_us: asyncio.StreamWriter, host: str, port: int) -> None:
        theirs, to_them = await asyncio.open_connection(host, port)
        marked = asyncio.Event()
        try:
            await asyncio.gather(
                self._carry_commands(ours, to_them, marked), self._carry_replies(theirs, to_us, marked)
            )
        except ConnectionError:
            pass  # an end went away, as it may
        finally:
            to_us.close()
            to_them.close()

    async def _carry_commands(
        self, ours: asyncio.StreamReader, to_them: asyncio.StreamWriter, marked: asyncio.Event
    ) -> None:
        while command := await ours.read(CHUNK):
            self.marked += command.count(self._marker) > 0
            if self._marker in command and not self.lost:
                marked.set()
            to_them.write(command)
        to_them.close()

    async def _carry_replies(
        self, theirs: asyncio.StreamReader, to_us: asyncio.StreamWriter, marked: asyncio.Event
    ) -> None:
        while reply := await theirs.read(CHUNK):
            if marked.is_set():
                self.lost.append(reply)
                if self._then == "breaks":
                    to_us.close()
            else:
                to_us.write(reply)
        to_us.close()
