"""The circuit breaker at work: what waits is cut, what was sent is not, and probes close it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import InvalidResponse, ResponseError
from structlog.testing import capture_logs

from inventory_service.adapters.redis import breaker as breakers
from inventory_service.adapters.redis.breaker import BreakerOpen, RedisBreaker
from inventory_service.adapters.redis.connection import OutcomeUnknown
from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.domain import circuit_breaker
from inventory_service.domain.circuit_breaker import FAILURES, CircuitBreaker
from inventory_service.domain.shards import RedisUnavailable
from tests.unit.inventory_service.adapters.redis.test_connections import SlowRedis, echo
from tests.waiting import eventually


class Probed:
    """A probe that succeeds once the test says so."""

    def __init__(self) -> None:
        self.serves = False
        self.probes = 0
        self.bug: Exception | None = None

    async def __call__(self) -> None:
        self.probes += 1
        if self.bug is not None:
            raise self.bug
        if not self.serves:
            raise RedisUnavailable("not yet")


@pytest.fixture
def state() -> CircuitBreaker:
    return CircuitBreaker()


@pytest.fixture
def probe() -> Probed:
    return Probed()


@pytest.fixture
async def breaker(monkeypatch: pytest.MonkeyPatch, state: CircuitBreaker, probe: Probed) -> AsyncIterator[RedisBreaker]:
    """A breaker in a hurry: ticks and probes come fifty times as often."""
    monkeypatch.setattr(breakers, "TICK_S", 0.002)
    monkeypatch.setattr(circuit_breaker, "FIRST_PROBE_S", 0.005)
    breaker = RedisBreaker(state, probe)
    yield breaker
    probe.serves = True
    await eventually(lambda: not state.is_open)


def fail(state: CircuitBreaker) -> None:
    for _ in range(FAILURES):
        state.failed(state.sent(), "refused")


async def test_what_waits_for_a_connection_is_cut_and_what_was_sent_is_answered(
    state: CircuitBreaker, breaker: RedisBreaker
) -> None:
    """Nothing was done for the ones; the other may have been done, and its reply tells."""
    async with SlowRedis().listening() as redis:
        connections = connections_to(redis.url, size=1, breaker=breaker)
        sent = asyncio.ensure_future(echo(connections, "sent"))
        await eventually(lambda: redis.asked == ["sent"])
        waiting = [asyncio.ensure_future(echo(connections, f"waiting-{n}")) for n in range(5)]

        await eventually(lambda: state.is_open)
        await asyncio.wait(waiting)
        assert [type(call.exception()) for call in waiting] == [BreakerOpen] * 5
        with pytest.raises(BreakerOpen, match="a reply is more than 1 s late"):
            await echo(connections, "new")
        assert not sent.done()
        redis.answers.set()

        assert await sent == b"sent"
        assert state.is_open
        await connections.close()
    assert redis.asked == ["sent"]


async def test_who_waits_for_the_reply_to_a_caller_that_left_is_cut_too(
    state: CircuitBreaker, breaker: RedisBreaker
) -> None:
    """The connection is kept, and the reply is dropped when it comes."""
    async with SlowRedis().listening() as redis:
        connections = connections_to(redis.url, size=1, breaker=breaker)
        leaving = asyncio.ensure_future(echo(connections, "left"))
        await eventually(lambda: redis.asked == ["left"])
        leaving.cancel()
        await asyncio.wait([leaving])
        next_one = asyncio.ensure_future(echo(connections, "next"))
        await asyncio.sleep(0)

        fail(state)
        with pytest.raises(BreakerOpen):
            await next_one
        redis.answers.set()
        state.probe_succeeded()

        assert await echo(connections, "later") == b"later"
        assert (redis.asked, redis.connections) == (["left", "later"], 1)
        await connections.close()


async def test_a_breaker_that_opens_again_at_once_finds_calls_that_were_cut_and_have_not_ended(
    state: CircuitBreaker, breaker: RedisBreaker
) -> None:
    """They end as those that it cuts once; a busy loop takes its time over that."""
    is_cut = asyncio.Event()

    async def wait() -> None:
        async with breaker.while_closed():
            try:
                await asyncio.Event().wait()
            finally:
                is_cut.set()
                await asyncio.sleep(0.01)  # while it ends

    waiting = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    fail(state)
    await is_cut.wait()
    state.probe_succeeded()
    fail(state)

    with pytest.raises(BreakerOpen):
        await waiting


async def test_who_waits_to_connect_is_cut_too(state: CircuitBreaker, breaker: RedisBreaker) -> None:
    """A halted Redis takes connections and does not greet."""
    async with SlowRedis().listening() as redis:
        redis.greets.clear()
        connections = connections_to(redis.url, size=2, breaker=breaker)

        with pytest.raises(BreakerOpen):
            await echo(connections, "first")

        assert state.is_open
        redis.greets.set()
        await connections.close()


async def test_a_probe_closes_it_and_the_next_call_is_sent(
    state: CircuitBreaker, breaker: RedisBreaker, probe: Probed
) -> None:
    """No request of a caller is used up to find out."""
    async with SlowRedis().listening() as redis:
        redis.answers.set()
        connections = connections_to(redis.url, size=1, breaker=breaker)
        fail(state)
        await eventually(lambda: probe.probes == 2)
        with pytest.raises(BreakerOpen):
            await echo(connections, "too soon")

        probe.serves = True
        await eventually(lambda: not state.is_open)

        assert await echo(connections, "served") == b"served"
        assert redis.asked == ["served"]
        await connections.close()


async def test_a_bug_in_a_probe_is_logged_and_the_next_probe_follows(
    state: CircuitBreaker, breaker: RedisBreaker, probe: Probed
) -> None:
    """Otherwise the breaker would stay open until the server is restarted."""
    probe.bug = KeyError("a bug")
    with capture_logs() as logged:
        fail(state)
        await eventually(lambda: logged)
    probe.bug, probe.serves = None, True

    await eventually(lambda: not state.is_open)

    assert logged[0]["event"] == "probe_failed"


async def test_a_reply_that_is_no_reply_is_not_waited_for(state: CircuitBreaker, breaker: RedisBreaker) -> None:
    """The call has ended, so nothing of it becomes late."""
    async with redis_replying("what?\r\n") as url:
        with pytest.raises(InvalidResponse):
            await echo(connections_to(url, size=1, breaker=breaker), "word")

    assert not state.waits


async def test_a_loop_that_is_blocked_makes_no_reply_late(
    monkeypatch: pytest.MonkeyPatch, state: CircuitBreaker, breaker: RedisBreaker
) -> None:
    """The reply has come meanwhile, and it is read before time goes on."""
    monkeypatch.setattr(breakers, "TICK_S", 0.01)
    async with SlowRedis().listening() as redis:
        redis.answers.set()
        connections = connections_to(redis.url, size=1, breaker=breaker)
        await echo(connections, "before")
        for _ in range(2):
            call = asyncio.ensure_future(echo(connections, "meanwhile"))
            await asyncio.sleep(0)
            time.sleep(0.15)  # noqa: ASYNC251  (longer than a reply may take here)
            await call

        assert not state.is_open
        await connections.close()


@pytest.mark.parametrize(
    ("error", "opens"),
    [
        ("BUSY Redis is busy running a script", True),
        ("LOADING Redis is loading the dataset in memory", True),
        ("NOAUTH Authentication required.", True),
        ("MASTERDOWN Link with MASTER is down", True),
        ("MISCONF Errors writing to the AOF file", True),
        ("READONLY You can't write against a read only replica.", False),
        ("NOREPLICAS Not enough good replicas to write.", False),
        ("OOM command not allowed when used memory > 'maxmemory'.", False),
        ("ERR a bug", False),
    ],
)
async def test_errors_by_which_redis_serves_nothing_count_and_others_do_not(
    state: CircuitBreaker, breaker: RedisBreaker, error: str, opens: bool
) -> None:
    """A probe would meet the same ones; by the others Redis judges one command, and answers the next."""
    async with redis_replying(f"-{error}\r\n") as url:
        connections = connections_to(url, size=1, breaker=breaker)
        for _ in range(FAILURES):
            assert not state.is_open
            with pytest.raises((ResponseError, RedisUnavailable)):
                await echo(connections, "word")

    assert state.is_open is opens


async def test_connections_that_are_lost_or_refused_count(state: CircuitBreaker, breaker: RedisBreaker) -> None:
    """A Redis that is down or restarts."""
    async with redis_replying("") as url:
        connections = connections_to(url, size=1, breaker=breaker)
        for _ in range(FAILURES - 2):
            with pytest.raises(OutcomeUnknown):
                await echo(connections, "word")
    for _ in range(2):
        assert not state.is_open
        with pytest.raises(RedisUnavailable):
            await echo(connections, "word")

    assert state.is_open


async def test_a_replica_counts(state: CircuitBreaker, breaker: RedisBreaker) -> None:
    """It greets, and takes no writes."""
    async with redis_replying("+OK\r\n", b"role:slave\r\n") as url:
        for _ in range(FAILURES):
            with pytest.raises(RedisUnavailable):
                await echo(connections_to(url, size=1, breaker=breaker), "word")

    assert state.is_open


@asynccontextmanager
async def redis_replying(reply: str, info: bytes = b"role:master\r\n") -> AsyncIterator[str]:
    """A Redis that greets, then answers each command with this, or by closing the connection: its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.read(65536):
            if b"INFO" in asked:
                writer.write(b"$%d\r\n%s\r\n" % (len(info), info))
            elif reply:
                writer.write(reply.encode())
            else:
                break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
