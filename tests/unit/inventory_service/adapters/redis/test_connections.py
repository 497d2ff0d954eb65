"""Connections to Redis: callers that leave, and a private key with a pass phrase."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from inventory_service.adapters.redis.connecting import check_url
from inventory_service.adapters.redis.connections import RedisConnections
from inventory_service.adapters.redis.connectors import connections_to
from tests.waiting import eventually


class SlowRedis:
    """Answers each ECHO, in their order, once the test has set the event `answers`."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.greets = asyncio.Event()
        self.greets.set()
        self.connections = 0
        self.asked: list[str] = []
        self.url = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["SlowRedis"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            self.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while asked := await reader.read(65536):
            if b"INFO" in asked:
                await self.greets.wait()
                writer.write(b"$11\r\nrole:master\r\n")
                continue
            self.asked.append(asked.split()[-1].decode())
            await self.answers.wait()
            writer.write(f"+{self.asked[-1]}\r\n".encode())
        writer.close()


async def echo(connections: RedisConnections, word: str) -> object:
    async with connections.acquire() as connection:
        return await connection.execute("ECHO", word)


async def test_what_was_not_sent_when_its_caller_left_is_never_sent() -> None:
    """A change that its caller has given up must not be made later; and a slow Redis gets no new connections."""
    async with SlowRedis().listening() as redis:
        connections = connections_to(redis.url, size=1)
        sent = asyncio.ensure_future(echo(connections, "sent"))
        await eventually(lambda: redis.asked == ["sent"])
        waiting = [asyncio.ensure_future(echo(connections, f"waiting-{n}")) for n in range(10)]
        await asyncio.sleep(0)

        for call in (sent, *waiting[:5]):
            call.cancel()
        await asyncio.sleep(0)
        for call in waiting[5:]:
            call.cancel()
        await asyncio.wait([sent, *waiting])
        redis.answers.set()

        assert await echo(connections, "later") == b"later"
        await connections.close()
    assert all(call.cancelled() for call in (sent, *waiting))
    assert (redis.asked, redis.connections) == (["sent", "later"], 1)


async def test_callers_without_patience_make_one_connection_together() -> None:
    """Else a Redis that is slower than any of them is patient would never be connected to, however often they ask."""
    async with SlowRedis().listening() as redis:
        redis.greets.clear()
        redis.answers.set()
        connections = connections_to(redis.url, size=1)
        for _ in range(3):
            leaving = asyncio.ensure_future(echo(connections, "left"))
            await eventually(lambda: redis.connections == 1)
            leaving.cancel()
            await asyncio.wait([leaving])

        patient = asyncio.ensure_future(echo(connections, "patient"))
        await asyncio.sleep(0)
        redis.greets.set()

        assert await patient == b"patient"
        assert (redis.asked, redis.connections) == (["patient"], 1)
        await connections.close()


async def test_a_connection_is_kept_that_was_made_after_its_caller_had_left() -> None:
    """The next caller finds it ready."""
    async with SlowRedis().listening() as redis:
        redis.greets.clear()
        redis.answers.set()
        connections = connections_to(redis.url, size=1)
        leaving = asyncio.ensure_future(echo(connections, "left"))
        await eventually(lambda: redis.connections == 1)
        leaving.cancel()
        await asyncio.wait([leaving])
        redis.greets.set()
        await eventually(lambda: not connections._left)

        assert await echo(connections, "later") == b"later"
        assert (redis.asked, redis.connections) == (["later"], 1)
        await connections.close()


async def test_a_connection_whose_late_reply_never_comes_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next caller gets another one in time."""
    monkeypatch.setattr("inventory_service.adapters.redis.connection.REPLY_TIMEOUT_S", 0.05)
    async with SlowRedis().listening() as redis:
        connections = connections_to(redis.url, size=1)
        sent = asyncio.ensure_future(echo(connections, "sent"))
        await eventually(lambda: redis.asked == ["sent"])
        sent.cancel()
        await asyncio.wait([sent])

        later = asyncio.ensure_future(echo(connections, "later"))
        await eventually(lambda: redis.asked == ["sent", "later"])
        redis.answers.set()

        assert (await later, redis.connections) == (b"later", 2)
        await connections.close()


def test_a_key_with_a_pass_phrase_is_an_error_and_no_prompt(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """OpenSSL by itself asks on the terminal, and the process would look as if it had started."""
    issued = trustme.CA().issue_cert("here")
    certificate, locked = tmp_path / "certificate.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(certificate)
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))

    with pytest.raises(ValueError, match="names a certificate or key that cannot be used"):
        check_url(f"rediss://localhost/0?ssl_certfile={certificate}&ssl_keyfile={locked}")

    assert capfd.readouterr().err == ""
