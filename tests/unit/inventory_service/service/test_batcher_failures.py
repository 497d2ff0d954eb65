"""The batcher: what becomes of requests that are cancelled, wait too long, or meet a Redis that does not answer."""

import asyncio
from typing import Any

from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.results import Failure
from inventory_service.rpc.methods import TIME_LIMIT_S
from inventory_service.service.lane import Limits
from tests.unit.inventory_service.service.manual_stock import SALE, BatcherFixture, name_of, reserve, settle

OVERLOADED = Failure(reasons.ERROR_REASON_OVERLOADED)
UNREACHABLE = Failure(reasons.ERROR_REASON_STORE_UNREACHABLE)


async def test_cancelling_one_request_leaves_the_others_of_its_call(fixture: BatcherFixture) -> None:
    """The call goes on, and the answer to the cancelled request is dropped."""
    first = fixture.batcher.reserve(reserve("r-0"))
    second = fixture.batcher.reserve(reserve("r-1"))
    third = fixture.batcher.reserve(reserve("r-2"))
    await settle()

    first.cancel()
    await fixture.store.answer()
    await fixture.clock.pass_ms(4)
    second.cancel()
    await fixture.store.answer()

    assert name_of(await third) == "r-2"


async def test_a_request_that_is_cancelled_while_it_waits_is_not_sent(fixture: BatcherFixture) -> None:
    """No caller would get its answer."""
    await fixture.make_busy()
    gone = fixture.batcher.reserve(reserve("gone"))
    fixture.batcher.reserve(reserve("here"))

    gone.cancel()
    await fixture.clock.pass_ms(4)

    assert fixture.store.calls == [("reserve", ["here"])]


async def test_the_queue_goes_on_after_all_waiting_requests_are_cancelled(fixture: BatcherFixture) -> None:
    """An empty call is not sent, and the next request is."""
    await fixture.make_busy()
    fixture.batcher.reserve(reserve("gone")).cancel()
    await fixture.clock.pass_ms(4)
    assert fixture.store.calls == []

    answer = fixture.batcher.reserve(reserve("next"))
    await settle()
    await fixture.store.answer()

    assert answer.done()


async def test_a_call_that_raises_gives_every_request_outcome_unknown(fixture: BatcherFixture) -> None:
    """The script may have run, so no answer may say that nothing was done."""
    answers = [fixture.batcher.reserve(reserve(f"r-{n}")) for n in range(2)]
    await settle()

    await fixture.store.fail(RuntimeError("a bug"))

    assert answers[0].result() == Failure(reasons.ERROR_REASON_OUTCOME_UNKNOWN)
    await fixture.clock.pass_ms(4)
    await fixture.store.answer()
    assert name_of(answers[1].result()) == "r-1"


async def test_a_full_queue_answers_overloaded(fixture: BatcherFixture) -> None:
    """A server that cannot keep up fails the request at once, before anything is done."""
    fixture.batcher.reserve(reserve("in-flight"))
    await settle()
    waiting = [fixture.batcher.reserve(reserve(f"r-{n}")) for n in range(12)]

    rejected = fixture.batcher.reserve(reserve("beyond-the-limit"))

    assert rejected.result() == OVERLOADED
    assert not any(answer.done() for answer in waiting)


async def test_a_request_that_waits_too_long_is_dropped_as_overloaded(fixture: BatcherFixture) -> None:
    """A stuck Redis must not hold a caller that sets no deadline; what was sent may be done, and is waited for."""
    sent = fixture.batcher.reserve(reserve("sent"))
    await settle()
    first = fixture.batcher.reserve(reserve("first"))
    await fixture.clock.pass_ms(1000)
    second = fixture.batcher.reserve(reserve("second"))

    await fixture.clock.pass_ms(28_000)
    assert (first.result(), sent.done(), second.done()) == (OVERLOADED, False, False)
    await fixture.clock.pass_ms(1000)

    assert second.result() == OVERLOADED
    await fixture.store.answer()
    assert (name_of(sent.result()), fixture.store.calls) == ("sent", [("reserve", ["sent"])])


async def test_what_waits_when_the_breaker_opens_fails_at_once_and_what_was_sent_waits_for_its_reply(
    fixture: BatcherFixture,
) -> None:
    """Nothing was done for the ones, and the other may have been done."""
    sent = fixture.batcher.reserve(reserve("sent"))
    await settle()
    waiting: list[asyncio.Future[Any]] = [
        fixture.batcher.reserve(reserve("r-1")),
        fixture.batcher.move(Move(SALE, "r-2", MoveKind.CONFIRM)),
    ]
    gone = fixture.batcher.reserve(reserve("gone"))
    gone.cancel()

    fixture.open_breaker()
    new = fixture.batcher.reserve(reserve("new"))

    assert [answer.result() for answer in (*waiting, new)] == [UNREACHABLE] * 3
    assert not sent.done()
    await fixture.clock.pass_ms(4)
    await fixture.store.answer()
    assert (name_of(sent.result()), fixture.store.calls) == ("sent", [("reserve", ["sent"])])


async def test_requests_are_sent_again_once_the_breaker_has_closed(fixture: BatcherFixture) -> None:
    """The timers that were set before find an empty queue, or one of new requests."""
    await fixture.make_busy()
    fixture.batcher.reserve(reserve("before"))
    fixture.open_breaker()
    await fixture.clock.pass_ms(4)

    fixture.breaker.probe_succeeded()
    answer = fixture.batcher.reserve(reserve("after"))
    await settle()
    await fixture.store.answer()

    assert (name_of(answer.result()), fixture.store.calls) == ("after", [("reserve", ["after"])])
    await fixture.clock.pass_ms(60_000)


def test_what_waits_in_the_queue_is_dropped_before_its_call_is_cut() -> None:
    """The queue knows that nothing was done."""
    assert Limits().wait_s < TIME_LIMIT_S


async def test_a_caller_that_leaves_ends_its_own_call(fixture: BatcherFixture) -> None:
    """Otherwise what its caller has given up would be carried out once a Redis that hangs has gone on."""
    read = asyncio.ensure_future(fixture.batcher.find_sale(SALE))
    await settle()

    read.cancel()
    await settle()

    assert (read.cancelled(), fixture.store.open) == (True, None)
