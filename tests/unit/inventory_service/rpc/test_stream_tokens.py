"""Streams that are open end once their token was revoked or has ended, with the reason, and with nothing after it."""

import asyncio
from typing import Any

import pytest
from holdfast.inventory.v1 import error_reason_pb2 as reasons
from structlog.testing import capture_logs

from inventory_service.domain.caller import ALL_SCOPES, RESERVE, Caller
from inventory_service.domain.results import Failure
from inventory_service.domain.revocations import Revocation, Revocations
from inventory_service.rpc import stream_tokens
from inventory_service.rpc.middleware import Middleware
from inventory_service.rpc.status import CallFailed
from inventory_service.rpc.stream_tokens import StreamTokens
from tests.unit.inventory_service.rpc.wrapped_calls import Calls
from tests.waiting import eventually

NOW_S = 1_800_000_000.0
ANN = Caller("acme", "ann", frozenset({RESERVE}), "t-1", NOW_S - 60, NOW_S + 60)
BOB = ANN._replace(subject="bob", jti="t-2")
REVOKED = Revocation("acme", "t-1", None, "stolen", "eve", 0)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_tokens, "INTERVAL_S", 0.01)


class Served(Calls):
    """Calls of callers with tokens, whose clock stands until a test moves it."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = NOW_S
        self.revocations = Revocations()
        self.caller = ANN  # of the next call
        self.withdrawn: list[Caller] = []
        self.streams = StreamTokens(self.revocations, lambda: self.now_s, lambda caller: caller in self.withdrawn)
        self.middleware = Middleware(self.meter, lambda _context: self.caller, stream_tokens=self.streams)
        self.middleware.open()
        self.written: list[str] = []

    def watch(self, caller: Caller = ANN, behaviour: Any = None) -> "asyncio.Task[str]":
        """Open a stream that writes for ever."""

        async def write(_request: Any, _context: Any) -> None:
            while True:
                self.written.append(caller.subject)
                await asyncio.sleep(0)

        async def call() -> str:
            self.caller = caller
            return await self.outcome("WatchSale", behaviour or write)

        return asyncio.create_task(call())


async def open_streams(served: Served, count: int) -> None:
    await eventually(lambda: served.middleware.streams.in_use == count)


async def test_a_stream_whose_token_is_revoked_ends_and_no_other() -> None:
    """Nothing of it is left, and the other one goes on until its own token is revoked."""
    served = Served()
    streams = [served.watch(), served.watch(BOB)]
    await open_streams(served, 2)

    with capture_logs() as logged:
        served.revocations.add([REVOKED])

        assert await streams[0] == "TOKEN_REVOKED"
    named = {"problem": "revoked", "tenant": "acme", "subject": "ann", "jti": "t-1"}
    assert logged == [{"event": "stream_ended", "log_level": "info", **named}]
    written = len(served.written)
    await eventually(lambda: len(served.written) > written + 10)
    assert set(served.written[written:]) == {"bob"}
    assert (served.meter.codes, served.middleware.streams.in_use) == (["UNAUTHENTICATED"], 1)
    served.revocations.add([REVOKED._replace(name="bob", issued_before_s=int(NOW_S))])
    assert await streams[1] == "TOKEN_REVOKED"


async def test_a_stream_whose_token_has_ended_is_told_that() -> None:
    """At that moment, and not earlier."""
    served = Served()
    stream = served.watch()
    await open_streams(served, 1)

    served.now_s = ANN.expires_at - 0.001
    written = len(served.written)
    await asyncio.sleep(0.05)
    assert len(served.written) > written
    served.now_s = ANN.expires_at

    assert await stream == "TOKEN_INVALID"


async def test_a_stream_ends_once_its_certificate_stands_for_its_caller_no_longer() -> None:
    """As the next call would: so a caller is shut out at once."""
    served = Served()
    streams = [served.watch(), served.watch(BOB)]
    await open_streams(served, 2)

    served.withdrawn.append(ANN)

    assert await streams[0] == "TOKEN_INVALID"
    assert not streams[1].done()
    streams[1].cancel()


async def test_a_stream_of_a_certificate_goes_on() -> None:
    """It has no token; and the timer ends with the last stream."""
    served = Served()
    stream = served.watch(ANN._replace(jti="", issued_at=0.0, expires_at=float("inf")))
    await open_streams(served, 1)

    served.revocations.add([REVOKED, REVOKED._replace(name="ann", issued_before_s=int(NOW_S))])
    await asyncio.sleep(0.05)

    assert not stream.done()
    stream.cancel()
    await asyncio.gather(stream, return_exceptions=True)
    await eventually(lambda: not served.streams._timer_is_set)
    assert served.meter.codes == ["CANCELLED"]


async def test_a_token_is_asked_about_again_once_more_are_revoked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand streams cost little while nothing is revoked."""
    served, asked = Served(), list[str]()
    revoked = served.revocations.revoked

    def counted(caller: Caller) -> bool:
        asked.append(caller.jti)
        return revoked(caller)

    monkeypatch.setattr(served.revocations, "revoked", counted)
    stream = served.watch()
    await open_streams(served, 1)

    served.revocations.add([REVOKED._replace(name="t-9")])
    await eventually(lambda: asked == ["t-1"])
    await asyncio.sleep(0.05)

    assert asked == ["t-1"]
    stream.cancel()
    await asyncio.gather(stream, return_exceptions=True)


async def test_what_a_stream_still_has_to_end_is_ended_before_its_status() -> None:
    """A StreamReserve writes from a task of its own."""
    served, told = Served(), []

    async def with_a_writer(_request: Any, _context: Any) -> None:
        writer = asyncio.create_task(asyncio.Event().wait())
        try:
            await writer
        finally:
            writer.cancel()
            await asyncio.gather(writer, asyncio.sleep(0.02), return_exceptions=True)
            told.append("the writer has ended")

    stream = served.watch(behaviour=with_a_writer)
    await open_streams(served, 1)
    served.revocations.add([REVOKED])

    assert await stream == "TOKEN_REVOKED"
    assert told == ["the writer has ended"]


async def test_a_caller_that_leaves_at_the_same_moment_gets_no_status() -> None:
    """gRPC has cancelled the call then, and no bug is logged."""
    served, is_ending = Served(), asyncio.Event()

    async def slow_to_end(_request: Any, _context: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            is_ending.set()
            await asyncio.Event().wait()

    with capture_logs() as logged:
        stream = served.watch(behaviour=slow_to_end)
        await open_streams(served, 1)
        served.revocations.add([REVOKED])
        await is_ending.wait()
        stream.cancel()
        await asyncio.gather(stream, return_exceptions=True)

    assert (stream.cancelled(), served.meter.codes, logged) == (True, ["CANCELLED"], [])


@pytest.mark.parametrize(("method", "told"), [("AuditSale", "TOKEN_REVOKED"), ("GetSale", "done")])
async def test_a_call_that_may_take_minutes_ends_as_a_stream_does(method: str, told: str) -> None:
    """Any other is over in half of one, and costs nothing more for it."""
    served, may_end = Served(), asyncio.Event()
    served.caller = ANN._replace(scopes=ALL_SCOPES)

    async def call(_request: Any, _context: Any) -> str:
        await may_end.wait()
        return "done"

    calling = asyncio.create_task(served.outcome(method, call))
    await eventually(lambda: served.middleware.slots.in_use == 1)
    served.revocations.add([REVOKED])
    await asyncio.sleep(0.05)
    may_end.set()

    assert await calling == told


async def test_a_failure_of_the_stream_itself_stays_what_it_is() -> None:
    """And frees its place."""
    served = Served()

    async def fails(_request: Any, _context: Any) -> None:
        raise CallFailed(Failure(reasons.ERROR_REASON_SALE_NOT_FOUND))

    assert await served.watch(behaviour=fails) == "SALE_NOT_FOUND"
    assert served.streams._open == {}
