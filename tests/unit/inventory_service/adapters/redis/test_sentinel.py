"""Which Sentinel is asked, and what follows from each answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from inventory_service.adapters.redis.connecting import RedisIsReplica
from inventory_service.adapters.redis.connectors import connections_to, server_named
from inventory_service.adapters.redis.sentinel import NoPrimary, SentinelConnector, UnknownPrimary, sentinel_url

PRIMARY, REPLICA = "role:master\r\n", "role:slave\r\nmaster_host:there\r\nmaster_port:1\r\n"
UNKNOWN = "*-1\r\n"
CLOSED = "127.0.0.1:1"


class Answering:
    """A Redis or a Sentinel that has one answer to whatever it is asked; '' is none."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.asked = 0
        self.address = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Answering"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            self.asked += 1
            writer.write(self.answer.encode())
        writer.close()


def info(text: str) -> str:
    return f"${len(text)}\r\n{text}\r\n"


def naming(redis: Answering) -> str:
    host, _, port = redis.address.partition(":")
    return f"*2\r\n${len(host)}\r\n{host}\r\n${len(port)}\r\n{port}\r\n"


def url(*addresses: str) -> str:
    return f"redis+sentinel://{','.join(addresses)}/main"


@pytest.fixture
async def start() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as servers:
        yield servers


async def test_the_next_sentinel_is_asked_until_one_leads_to_a_primary(start: AsyncExitStack) -> None:
    """One is away, one knows no such name, and one was cut off before a failover."""
    primary = await start.enter_async_context(Answering(info(PRIMARY)).listening())
    replica = await start.enter_async_context(Answering(info(REPLICA)).listening())
    answers = (UNKNOWN, naming(replica), naming(primary))
    sentinels = [await start.enter_async_context(Answering(answer).listening()) for answer in answers]
    connector = SentinelConnector(url(CLOSED, *(each.address for each in sentinels)))

    connection = await connector()
    await (await connector()).close()

    assert [each.asked for each in sentinels] == [1, 1, 2]  # the one that led there is asked first from then on
    await connection.close()


async def test_each_sentinel_says_why_it_does_not_lead_to_a_primary(start: AsyncExitStack) -> None:
    """One line then tells an operator what to correct."""
    replica = await start.enter_async_context(Answering(info(REPLICA)).listening())
    stale = await start.enter_async_context(Answering(naming(replica)).listening())
    other = await start.enter_async_context(Answering(UNKNOWN).listening())

    with pytest.raises(NoPrimary) as raised:
        await SentinelConnector(url(stale.address, other.address))()

    assert str(raised.value) == (
        f"{replica.address}: it is a replica of there:1 and takes no writes; "
        f"{other.address}: it is a Sentinel and knows no primary main"
    )
    assert [type(problem) for problem in raised.value.problems] == [RedisIsReplica, UnknownPrimary]


async def test_a_primary_that_several_sentinels_name_is_tried_once(start: AsyncExitStack) -> None:
    """Else one that does not answer would cost its time for each of them."""
    replica = await start.enter_async_context(Answering(info(REPLICA)).listening())
    sentinels = [await start.enter_async_context(Answering(naming(replica)).listening()) for _ in range(3)]

    with pytest.raises(NoPrimary):
        await SentinelConnector(url(*(each.address for each in sentinels)))()

    assert replica.asked == 1


async def test_the_plain_address_of_a_sentinel_is_told_as_such(start: AsyncExitStack) -> None:
    """Its INFO has no role."""
    sentinel = await start.enter_async_context(Answering(info("")).listening())

    with pytest.raises(Exception, match=r"of a Sentinel, the URL starts with redis\+sentinel://"):
        async with connections_to(f"redis://{sentinel.address}").acquire():
            pass


def test_a_url_of_sentinels_says_who_logs_in_where() -> None:
    """The user and the options are for Redis, and those of TLS for both; no name of a server has a password."""
    text = (
        "rediss+sentinel://ann:s3%2Fcret@one,two:5,[::1]:6/main?db=2&ssl_check_hostname=false"
        "&sentinel_user=bob&sentinel_password=h%40sh"
    )

    parsed = sentinel_url(text)

    assert parsed.of_primary("::2", "7") == "rediss://ann:s3%2Fcret@[::2]:7?db=2&ssl_check_hostname=false"
    assert dict(parsed.sentinels) == {
        address: f"rediss://bob:h%40sh@{address}?ssl_check_hostname=false"
        for address in ("one:26379", "two:5", "[::1]:6")
    }
    assert server_named(text) == "Redis main of the Sentinels at one,two:5,[::1]:6"


def test_a_password_makes_no_url_one_of_sentinels() -> None:
    """The scheme alone says what a URL names."""
    assert server_named("redis://shop:a+sentinel:b@store:6379/0") == "Redis at store:6379"
