"""The start check of each process: servers that are down, silent, starting up, or reject the connection."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from holdfast_runtime.connection_errors import TransientError
from holdfast_runtime.postgres import probe_postgres
from inventory_service.adapters.redis import connecting
from inventory_service.adapters.redis.probe import probe_redis
from tests.inventory_server import UNREACHABLE_DSN, run_process
from tests.persister_process import StartPersister, persisters
from tests.servers import StartValkey, database_dsn
from tests.stacks import ENVIRONMENT
from tests.waiting import eventually

SHORT_WAIT = {"HOLDFAST_START_WAIT_S": "0.5"}
LONG_WAIT = {"HOLDFAST_START_WAIT_S": "30"}  # a permanent error ends the wait at once
CLOSED_PORT = "127.0.0.1:1"
ENDS_S = 45.0
STARTING_UP = b"SFATAL\0C57P03\0Mthe database system is starting up\0\0"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def start_persister(tmp_path: Path) -> Iterator[StartPersister]:
    with persisters(tmp_path) as start:
        yield start


@pytest.fixture
def short_connect_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short connect timeout, for tests in which no server answers."""
    monkeypatch.setattr(connecting, "CONNECT_S", 2.0)


@asynccontextmanager
async def listening(answer: Handler) -> AsyncIterator[int]:
    """A server that accepts connections: its port."""
    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        yield server.sockets[0].getsockname()[1]


async def never_reply(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("process", "variable", "url", "how"),
    [
        ("serve", "HOLDFAST_REDIS_URL", "redis://ann:secret@{}/0", "silent"),
        ("audit", "HOLDFAST_REDIS_URL", "redis://{}/0", "away"),
        ("topics", "HOLDFAST_KAFKA_BROKERS", "{}", "silent"),
    ],
)
async def test_a_server_that_does_not_answer_ends_a_process(
    database: str, process: str, variable: str, url: str, how: str
) -> None:
    """Within seconds, with the setting of the wrong address."""
    async with listening(never_reply) as silent:
        where = CLOSED_PORT if how == "away" else f"127.0.0.1:{silent}"
        stores = {"HOLDFAST_POSTGRES_DSN": database, variable: url.format(where)}
        code, output = await run_process(process, **SHORT_WAIT, **stores)

    assert (code, len(output)) == (2, 1), output
    assert output[0].startswith(f"{variable}: ")
    assert "does not answer" in output[0]
    assert "(HOLDFAST_START_WAIT_S is 0.5)" in output[0]
    assert "secret" not in output[0]


def test_a_postgres_that_does_not_answer_ends_the_persister(start_persister: StartPersister) -> None:
    """It prints only that line."""
    persister = start_persister(CLOSED_PORT, f"postgresql://ann:secret@{CLOSED_PORT}/holdfast", **SHORT_WAIT)

    assert persister.exit_code() == 2
    [line] = persister.lines()
    assert "does not answer" in line
    assert "secret" not in line


async def test_a_wrong_password_ends_a_server(start_valkey: StartValkey, database: str) -> None:
    """A permanent error is not retried."""
    valkey = start_valkey()
    async with Redis.from_url(valkey.address) as admin:
        await admin.config_set("requirepass", "right")
    stores = {"HOLDFAST_REDIS_URL": valkey.address.replace("//", "//:wrong@"), "HOLDFAST_POSTGRES_DSN": database}

    code, output = await run_process("serve", **LONG_WAIT, **stores)

    assert (code, len(output)) == (2, 1), output
    assert output[0].startswith("HOLDFAST_REDIS_URL: Redis at ")
    assert "invalid username-password pair" in output[0]


async def test_a_database_that_is_not_there_ends_a_server(valkey: str, postgres: str) -> None:
    """Waiting would not create it; the server waits only for tables."""
    stores = {"HOLDFAST_REDIS_URL": valkey, "HOLDFAST_POSTGRES_DSN": database_dsn(postgres, "nowhere")}

    code, output = await run_process("serve", **LONG_WAIT, **stores)

    assert code == 2
    assert output == [
        f"HOLDFAST_POSTGRES_DSN: PostgreSQL at {postgres.split('@')[1].split('/')[0]} cannot be used: "
        'database "nowhere" does not exist'
    ]


async def test_tls_to_a_kafka_without_it_names_the_setting(broker: str) -> None:
    """It cannot parse TLS; the error names the setting."""
    settings = {"HOLDFAST_START_WAIT_S": "3", "HOLDFAST_KAFKA_BROKERS": broker, "HOLDFAST_KAFKA_SECURITY": "SSL"}
    code, output = await run_process("topics", **settings)

    assert (code, len(output)) == (2, 1), output
    assert "HOLDFAST_KAFKA_SECURITY" in output[0]


async def test_a_redis_that_is_loading_counts_as_up() -> None:
    """It answers, and a large one loads for minutes after its start."""

    async def load(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"-LOADING Redis is loading the dataset in memory\r\n")
        await writer.drain()

    async with listening(load) as port:
        await probe_redis(f"redis://127.0.0.1:{port}/0")


async def test_a_postgres_that_is_starting_up_counts_as_up() -> None:
    """After a crash it replays its log, for an unknown time."""

    async def start_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(4))
        if length == 8:  # the request for TLS
            await reader.readexactly(4)
            writer.write(b"N")
            length = int.from_bytes(await reader.readexactly(4))
        await reader.readexactly(length - 4)
        writer.write(b"E" + (len(STARTING_UP) + 4).to_bytes(4) + STARTING_UP)
        await writer.drain()

    async with listening(start_up) as port:
        await probe_postgres(f"postgresql://ann@127.0.0.1:{port}/holdfast")


async def test_a_server_that_closes_the_connection_may_be_no_postgres() -> None:
    """asyncpg reports a closed connection as if Postgres had answered; it may be another kind of server."""

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.close()

    async with listening(close) as port:
        with pytest.raises(TransientError, match=r"is it PostgreSQL\?$"):
            await probe_postgres(f"postgresql://ann@127.0.0.1:{port}/holdfast?sslmode=disable")


@pytest.mark.parametrize(("process", "code"), [("serve", 0), ("init", 130)])
async def test_sigterm_ends_a_process_that_waits_for_a_server(process: str, code: int) -> None:
    """A server exits with 0, as it does later; a command that did not do its work exits with 130."""
    connected = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await never_reply(reader, writer)

    async with listening(accept) as port:
        started = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "inventory_service", process),
            env={
                **ENVIRONMENT,
                "HOLDFAST_START_WAIT_S": "600",
                "HOLDFAST_REDIS_URL": f"redis://127.0.0.1:{port}/0",
                "HOLDFAST_POSTGRES_DSN": UNREACHABLE_DSN,
            },
        )
        await eventually(connected.is_set, ENDS_S)
        started.send_signal(signal.SIGTERM)

        assert await asyncio.wait_for(started.wait(), ENDS_S) == code


async def test_the_error_for_a_redis_url_of_postgres_asks_for_the_protocol(postgres: str) -> None:
    """Postgres closes the connection on a Redis command, as a Redis with TLS does."""
    where = postgres.split("@")[1].split("/")[0]

    with pytest.raises(TransientError, match=r"is it a Redis, without TLS, as redis:// says\?$"):
        await probe_redis(f"redis://{where}/0")


@pytest.mark.usefixtures("short_connect_timeout")
async def test_the_error_for_tls_to_a_redis_without_it_asks_for_the_protocol(valkey: str) -> None:
    """Redis waits for the end of what it parses as a command."""
    with pytest.raises(TransientError, match=r"is it a Redis, with TLS, as rediss:// says\?$"):
        await probe_redis(valkey.replace("redis://", "rediss://"))


async def test_the_error_for_a_postgres_dsn_of_redis_asks_for_the_server(valkey: str) -> None:
    """Neither side sends a reply to the other."""
    with pytest.raises(TransientError, match=r"is it PostgreSQL\?$"):
        await probe_postgres(f"postgresql://ann@{urlsplit(valkey).netloc}/holdfast")
