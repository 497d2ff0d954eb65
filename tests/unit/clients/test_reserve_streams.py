"""StreamReserve: every request has its answer once, whatever becomes of streams and servers."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import pytest
from holdfast import errors
from holdfast.bulk.pending import ReserveAnswer
from holdfast.client import Client
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.inventory_service_pb2 import (
    ReserveRequest,
    StreamReserveRequest,
)
from holdfast.retry import RetryPolicy
from holdfast.statuses import error_from_rpc

from tests.unit.clients.fake_inventory import ErrorStatus, FakeInventory, Step, error_status, running_fake, unavailable
from tests.unit.clients.reserve_streams import PATIENT, collect, hold_all, replied
from tests.unit.clients.results import answer, failed, requests
from tests.waiting import eventually

IMPATIENT = RetryPolicy(overall_s=20, attempt_s=20, first_delay_s=60)  # leaves no time for a repeat
DRAINING = unavailable(ErrorReason.ERROR_REASON_SERVER_DRAINING)
LOST = ErrorStatus(grpc.StatusCode.UNAVAILABLE)
AWAY = failed(grpc.StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_SHARD_NOT_SERVING)
UNKNOWN = failed(grpc.StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN)
REUSED = failed(grpc.StatusCode.ALREADY_EXISTS, ErrorReason.ERROR_REASON_RESERVATION_ID_REUSED)

Script = Callable[[Iterator[StreamReserveRequest]], Iterator[Step]]


class Recorded:
    """A stream that holds `answered` requests of those that it reads, then ends by a status; keeps what it read."""

    def __init__(self, read: int, answered: int, end: Step) -> None:
        self.ids: list[str] = []
        self._read, self._answered, self._end = read, answered, end

    def __call__(self, messages: Iterator[StreamReserveRequest]) -> Iterator[Step]:
        for count, message in enumerate(itertools.islice(messages, self._read)):
            self.ids.append(message.request.reservation_id)
            if count < self._answered:
                yield replied(message)
        yield self._end


async def all_answers(fake: FakeInventory, asked: Any, policy: RetryPolicy = PATIENT) -> dict[str, ReserveAnswer]:
    """What the client answers, by id."""
    async with Client(fake.address, retry=policy) as client:
        pairs = [pair async for pair in client.stream_reserve(asked)]
    assert len({request.reservation_id for request, _ in pairs}) == len(pairs)
    return {request.reservation_id: reply for request, reply in pairs}


async def arriving(asked: list[ReserveRequest]) -> AsyncIterator[ReserveRequest]:
    for request in asked:
        await asyncio.sleep(0)
        yield request


@pytest.mark.parametrize("source", [list, iter, arriving], ids=["list", "iterator", "async"])
async def test_each_request_has_its_answer(fake: FakeInventory, source: Callable[[Any], Any]) -> None:
    """In the order in which they come; the loop ends when all are answered."""
    asked = requests("r-1", "r-2", "r-3")

    def backwards(messages: Iterator[StreamReserveRequest]) -> Iterator[Step]:
        first, second, third = itertools.islice(messages, 3)
        yield from (replied(third), replied(second, REUSED), replied(first))
        assert next(messages, None) is None, "the caller has half-closed"

    fake.will_answer("StreamReserve", backwards)

    async with Client(fake.address, retry=PATIENT) as client:
        third, second, first = [pair async for pair in client.stream_reserve(source(asked))]

    assert (first, third) == ((asked[0], answer("r-1")), (asked[2], answer("r-3")))
    assert second[0] == asked[1]
    assert isinstance(second[1], errors.ReservationIdReused)
    assert second[1].ids["reservation_id"] == "r-2"


async def test_nothing_to_ask_is_asked_nowhere() -> None:
    """A stream is begun with the first request."""
    async with Client("127.0.0.1:1") as client:
        assert [pair async for pair in client.stream_reserve([])] == []


async def test_what_a_draining_server_has_not_answered_goes_on_at_another(fake: FakeInventory) -> None:
    """It was not judged, and nothing else is sent again."""
    draining = Recorded(read=4, answered=2, end=DRAINING)
    other = Recorded(read=3, answered=3, end=DRAINING)
    fake.will_answer("StreamReserve", draining, other)

    answers = await all_answers(fake, requests("r-1", "r-2", "r-3", "r-4", "r-5"))

    assert answers == {name: answer(name) for name in ("r-1", "r-2", "r-3", "r-4", "r-5")}
    assert draining.ids == ["r-1", "r-2", "r-3", "r-4"]
    assert other.ids == ["r-3", "r-4", "r-5"]


async def test_the_reason_of_a_server_is_seen_while_requests_are_written(
    fake: FakeInventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gRPC puts a status of its own in its place: what was not judged would be unknown, and a bad token repeated."""
    seen = set()

    def spied(failure: grpc.aio.AioRpcError, request: ReserveRequest) -> errors.HoldfastError:
        seen.add(failure.code())
        return error_from_rpc(failure, request)

    monkeypatch.setattr("holdfast.bulk.streams.error_from_rpc", spied)
    fake.will_answer("StreamReserve", *[Recorded(read=12, answered=10, end=DRAINING) for _ in range(10)], hold_all)
    names = [f"r-{number}" for number in range(150)]

    answers = await all_answers(fake, requests(*names))

    assert answers == {name: answer(name) for name in names}
    assert seen == {grpc.StatusCode.UNAVAILABLE}


@pytest.mark.parametrize("end", [LOST, ErrorStatus(grpc.StatusCode.INTERNAL)], ids=["lost", "internal"])
async def test_what_a_stream_that_broke_has_not_answered_is_repeated(fake: FakeInventory, end: ErrorStatus) -> None:
    """With the same ids, which tell a server that has done it before; a thousand need no budget for that."""
    broken = Recorded(read=200, answered=0, end=end)
    fake.will_answer("StreamReserve", broken, broken, broken, hold_all)
    names = [f"r-{number}" for number in range(200)]

    answers = await all_answers(fake, requests(*names))

    assert answers == {name: answer(name) for name in names}
    assert broken.ids == names * 3


async def test_a_stream_that_ends_early_without_an_error_is_repeated(fake: FakeInventory) -> None:
    """A proxy may end it so; the requests are open all the same."""
    fake.will_answer("StreamReserve", [], hold_all)

    assert await all_answers(fake, requests("r-1")) == {"r-1": answer("r-1")}


async def test_a_server_that_stops_loses_no_request() -> None:
    """Its connections are reset while it holds requests."""
    with running_fake() as other:
        other.will_answer("StreamReserve", hold_all)
        with running_fake() as stopping:
            stopping.will_answer("StreamReserve", hang)
            async with Client(f"{other.address},{stopping.address}", channels=2, retry=PATIENT) as client:
                reading = asyncio.ensure_future(collect(client.stream_reserve(requests("r-1", "r-2"))))
                await eventually(lambda: stopping.asked)
                await asyncio.to_thread(stopping.stop)

                assert await reading == {"r-1": answer("r-1"), "r-2": answer("r-2")}


def hang(messages: Iterator[StreamReserveRequest]) -> Iterator[Step]:
    """A stream that reads, and answers nothing."""
    for _ in messages:
        pass
    return iter(())


async def test_what_could_not_be_judged_is_asked_again_on_the_stream(fake: FakeInventory) -> None:
    """The others go on meanwhile."""

    def judged_late(messages: Iterator[StreamReserveRequest]) -> Iterator[Step]:
        first, second = itertools.islice(messages, 2)
        yield replied(first, AWAY)
        yield replied(second)
        again = next(messages)
        assert again.request == first.request
        yield replied(again)
        assert next(messages, None) is None

    fake.will_answer("StreamReserve", judged_late)

    answers = await all_answers(fake, requests("r-1", "r-2"))

    assert answers == {"r-1": answer("r-1"), "r-2": answer("r-2")}
    assert len(fake.asked) == 1


async def test_an_error_stands_in_the_place_of_an_answer(fake: FakeInventory) -> None:
    """It says whether its own request may have been done; the stream goes on after it."""

    def judge(messages: Iterator[StreamReserveRequest]) -> Iterator[Step]:
        for message, result in zip(messages, (AWAY, UNKNOWN, None), strict=False):
            yield replied(message, result)

    fake.will_answer("StreamReserve", judge)

    answers = await all_answers(fake, requests("r-1", "r-2", "r-3"), IMPATIENT)

    away, unknown = answers["r-1"], answers["r-2"]
    assert isinstance(away, errors.ShardNotServing)
    assert not away.outcome_unknown
    assert isinstance(unknown, errors.OutcomeUnknown)
    assert unknown.outcome_unknown
    assert answers["r-3"] == answer("r-3")


async def test_a_stream_that_is_given_up_fails_what_was_taken(fake: FakeInventory) -> None:
    """What was sent may have been done, unless the server was draining."""
    fake.will_answer(
        "StreamReserve", Recorded(read=1, answered=0, end=LOST), Recorded(read=1, answered=0, end=DRAINING)
    )

    [lost] = (await all_answers(fake, requests("r-1"), IMPATIENT)).values()
    [drained] = (await all_answers(fake, requests("r-1"), IMPATIENT)).values()

    assert isinstance(lost, errors.NoAnswer)
    assert lost.outcome_unknown
    assert isinstance(drained, errors.ServerDraining)
    assert not drained.outcome_unknown


async def test_what_was_never_sent_was_not_done() -> None:
    """The first request waits for a connection when that fails, and the others behind it."""
    async with Client("127.0.0.1:1", retry=IMPATIENT) as client:
        answers = await collect(client.stream_reserve(requests("r-1", "r-2", "r-3")))

    unknown = {name: isinstance(reply, errors.NoAnswer) and reply.outcome_unknown for name, reply in answers.items()}
    assert unknown == {"r-1": True, "r-2": False, "r-3": False}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (error_status(grpc.StatusCode.PERMISSION_DENIED, ErrorReason.ERROR_REASON_SCOPE_MISSING), errors.ScopeMissing),
        (ErrorStatus(grpc.StatusCode.UNIMPLEMENTED), errors.NotBuilt),
    ],
)
async def test_an_error_of_the_stream_is_one_of_each_request(
    fake: FakeInventory, status: ErrorStatus, kind: type[errors.HoldfastError]
) -> None:
    """As many single calls would each have got it."""
    fake.will_answer("StreamReserve", *[status] * 3)

    answers = await all_answers(fake, requests("r-1", "r-2", "r-3"))

    assert sorted(answers) == ["r-1", "r-2", "r-3"]
    for reply in answers.values():
        assert isinstance(reply, kind)
        assert not reply.outcome_unknown


async def test_a_token_that_fails_fails_each_request() -> None:
    """Nothing was sent."""

    def no_token() -> str:
        raise OSError("no file")

    async with Client("127.0.0.1:1", retry=PATIENT, token=no_token) as client:
        answers = await collect(client.stream_reserve(requests("r-1", "r-2")))

    for reply in answers.values():
        assert isinstance(reply, errors.TokenUnavailable)
        assert not reply.outcome_unknown
