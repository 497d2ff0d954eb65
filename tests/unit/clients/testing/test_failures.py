"""Calls fail as the test orders: which attempt, with what, and whether what it asked for was done before."""

import asyncio
from time import monotonic

import grpc
import pytest
from holdfast.blocking import BlockingClient
from holdfast.client import Client
from holdfast.errors import HoldfastError, NoAnswer, OutcomeUnknown, ShardNotServing
from holdfast.messages import held, reserve_request
from holdfast.retry import RetryPolicy
from holdfast.testing import InventoryServer

from tests.waiting import eventually

ONCE = RetryPolicy(repeats_per_s=0.0)


def attempts(server: InventoryServer) -> int:
    """How often Reserve was called."""
    return len(server.requests("Reserve"))


def test_a_failure_without_effect_is_repeated_by_the_client(server: InventoryServer, shop: BlockingClient) -> None:
    """Two attempts fail, and the third makes the reservation."""
    server.fail_next("Reserve", "SHARD_NOT_SERVING", times=2, retry_after_s=0.01)

    answer = shop.reserve("lamps", "r-1", "ann", {"lamp": 1})

    assert (bool(held(answer)), answer.replayed, attempts(server)) == (True, False, 3)


def test_a_lost_answer_is_that_of_a_call_that_was_carried_out(server: InventoryServer, shop: BlockingClient) -> None:
    """The repeat hears of the reservation that the first attempt made."""
    server.fail_next("Reserve", "OUTCOME_UNKNOWN", done=True)

    answer = shop.reserve("lamps", "r-1", "ann", {"lamp": 1})

    assert (bool(held(answer)), answer.replayed, attempts(server)) == (True, True, 2)


@pytest.mark.parametrize("done", [True, False])
def test_a_code_without_a_reason_is_a_lost_answer(server: InventoryServer, shop: BlockingClient, done: bool) -> None:
    """As a proxy or a broken connection sends it: the client cannot know, and the test decides what is true."""
    server.fail_next("ConfirmReservation", grpc.StatusCode.UNAVAILABLE, done=done)
    shop.reserve("lamps", "r-1", "ann", {"lamp": 1})

    with pytest.raises(NoAnswer) as lost:
        shop.with_options(retry=ONCE).confirm("lamps", "r-1")

    assert lost.value.outcome_unknown
    assert shop.get_sale("lamps").sale.items[0].sold == int(done)


def test_a_reason_comes_with_its_code_and_details(server: InventoryServer, shop: BlockingClient) -> None:
    """Exactly as the server sends it, and with the metadata that the test adds."""
    server.fail_next("Reserve", "SHARD_NOT_SERVING", metadata={"clock": "a clock"}, retry_after_s=2.5)

    with pytest.raises(ShardNotServing) as failed:
        shop.with_options(retry=ONCE).reserve("lamps", "r-1", "ann", {"lamp": 1})

    assert failed.value.code is grpc.StatusCode.UNAVAILABLE
    assert (failed.value.metadata, failed.value.retry_after_s) == ({"clock": "a clock"}, 2.5)


def test_calls_before_the_one_that_fails_are_answered(server: InventoryServer, shop: BlockingClient) -> None:
    """And so are those behind it."""
    server.fail_next("GetSale", "LEDGER_UNREACHABLE", after=1)
    quick = shop.with_options(retry=ONCE)

    quick.get_sale("lamps")
    with pytest.raises(HoldfastError):
        quick.get_sale("lamps")
    quick.get_sale("lamps")

    assert len(server.requests("GetSale")) == 3


def test_failures_are_carried_out_in_the_order_in_which_they_were_ordered(
    server: InventoryServer, shop: BlockingClient
) -> None:
    """And `answer_all` takes back what has not come."""
    server.fail_next("GetSale", "SHARD_NOT_SERVING")
    server.fail_next("GetSale", "OUTCOME_UNKNOWN", times=5)
    quick = shop.with_options(retry=ONCE)

    with pytest.raises(ShardNotServing):
        quick.get_sale("lamps")
    with pytest.raises(OutcomeUnknown):
        quick.get_sale("lamps")
    server.answer_all()
    assert quick.get_sale("lamps").sale.sale_id == "lamps"


@pytest.mark.parametrize("done", [True, False])
async def test_an_answer_that_is_late_finds_its_caller_gone(server: InventoryServer, done: bool) -> None:
    """With `done` the change was made all the same."""
    async with Client(server.address, channels=1) as shop:
        await shop.create_sale("lamps", {"lamp": 1})
        await shop.reserve("lamps", "r-1", "ann", {"lamp": 1})
        server.delay_next("ConfirmReservation", 60.0, done=done)

        confirming = asyncio.create_task(shop.confirm("lamps", "r-1"))
        await eventually(lambda: server.requests("ConfirmReservation"))
        confirming.cancel()
        await asyncio.gather(confirming, return_exceptions=True)

        assert (await shop.get_sale("lamps")).sale.items[0].sold == int(done)


def test_a_late_answer_is_an_answer(server: InventoryServer, shop: BlockingClient) -> None:
    """A caller that waits gets it."""
    server.delay_next("GetSale", 0.05)
    began = monotonic()

    assert shop.get_sale("lamps").sale.sale_id == "lamps"
    assert monotonic() - began >= 0.05


def test_a_watch_fails_after_some_messages_and_goes_on(server: InventoryServer, shop: BlockingClient) -> None:
    """The client begins it anew, and hears the whole again."""
    server.fail_next("WatchSale", "SHARD_NOT_SERVING", messages=1, retry_after_s=0.01)

    watch = shop.watch_sale("lamps")
    first = next(watch)
    shop.reserve("lamps", "r-1", "ann", {"lamp": 1})
    second = next(watch)
    watch.close()

    assert (first.snapshot, second.snapshot) == (True, True)
    assert second.sale.items[0].held == 1
    assert len(server.requests("WatchSale")) == 2


def test_a_stream_that_fails_leaves_its_answers_lost(server: InventoryServer, shop: BlockingClient) -> None:
    """What it has judged and not answered is sent again with the same ids, and nothing is reserved twice."""
    server.fail_next("StreamReserve", grpc.StatusCode.UNAVAILABLE, messages=2, done=True)
    asked = [reserve_request("lamps", f"r-{number}", "ann", {"lamp": 1}) for number in range(5)]

    results = [result for _, result in shop.stream_reserve(asked)]

    assert all(not isinstance(result, HoldfastError) and held(result) for result in results)
    assert shop.get_sale("lamps").sale.items[0].held == 5


@pytest.mark.parametrize(
    ("method", "failure"),
    [("Buy", "SHARD_NOT_SERVING"), ("Reserve", "BROKEN"), ("Reserve", grpc.StatusCode.OK)],
)
def test_an_order_that_cannot_be_carried_out_is_refused(
    server: InventoryServer, method: str, failure: str | grpc.StatusCode
) -> None:
    """A misspelled name would otherwise make a test pass in which nothing fails."""
    with pytest.raises(ValueError, match=r"there is no|no failure"):
        server.fail_next(method, failure)


def test_details_need_a_reason(server: InventoryServer) -> None:
    """A bare code has none, and a reason that no repeat helps never says when to repeat."""
    with pytest.raises(ValueError, match="no details"):
        server.fail_next("Reserve", grpc.StatusCode.UNAVAILABLE, retry_after_s=1.0)
    with pytest.raises(ValueError, match="never comes"):
        server.fail_next("Reserve", "SALE_NOT_FOUND", retry_after_s=1.0)
