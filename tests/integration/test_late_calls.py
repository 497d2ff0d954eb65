"""Calls that come when Redis has forgotten: the ledger is asked, and nothing is called unknown while it is away."""

from typing import Any

import grpc
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls

from tests.integration.served import (
    Caller,
    refusal_of,
)
from tests.servers import connected


async def forget(valkey: str, name: str) -> None:
    """Let a record leave Redis, as it does a day after its end."""
    from redis.asyncio import Redis

    async with Redis.from_url(valkey, decode_responses=True) as redis:
        (key,) = [key async for key in redis.scan_iter("holdfast:*:reservations:*")]
        assert await redis.hdel(key, name) == 1


async def book(database: str, state: str) -> None:
    """Write a sale and a reservation into the ledger, as the persister does."""
    async with connected(database) as ledger:
        await ledger.execute("insert into sale values ('default', 'lamp-sale', '', now(), null, 1, 1, 0, now(), 0)")
        await ledger.execute(
            """insert into reservation values ('default', 'lamp-sale', 'r-1', 'buyer-r-1', $1, 2, now(), now(), null,
            0, 1, 2, 0, 1, 3, 0, 'RECORDED', null, '')""",
            state,
        )


async def test_what_left_redis_is_read_and_judged_from_the_ledger(caller: Caller, valkey: str, database: str) -> None:
    """A confirmed order of last week is no unknown id."""
    await caller.create_sale()
    await caller.reserve("r-1")
    await book(database, "CONFIRMED")
    await forget(valkey, "r-1")
    name: Any = {"sale_id": "lamp-sale", "reservation_id": "r-1"}

    found = await caller.stock.GetReservation(calls.GetReservationRequest(**name))
    confirmed = await caller.stock.ConfirmReservation(calls.ConfirmReservationRequest(**name))
    released = await refusal_of(caller.stock.ReleaseReservation(calls.ReleaseReservationRequest(**name)))

    spent = await refusal_of(caller.stock.ReleaseReservation(calls.ReleaseReservationRequest(**name, spend_id=True)))

    assert (found.reservation.state, found.reservation.ledger_state) == (2, 2)
    assert (confirmed.reservation.state, confirmed.replayed) == (2, True)
    assert released.reason == spent.reason == "WRONG_RESERVATION_STATE"


async def test_an_id_that_nobody_knows_is_spent(caller: Caller) -> None:
    """A Reserve that is still under way finds it ended; spending it again is a repeat."""
    await caller.create_sale()
    spend = calls.ReleaseReservationRequest(sale_id="lamp-sale", reservation_id="r-1", spend_id=True)

    spent = await caller.stock.ReleaseReservation(spend)
    again = await caller.stock.ReleaseReservation(spend)
    reserved = await caller.reserve("r-1")

    assert [(answer.reservation.state, answer.replayed) for answer in (spent, again)] == [(3, False), (3, True)]
    assert (reserved.rejection.reason, reserved.rejection.ended.state) == (8, 3)


async def test_a_sale_that_only_the_ledger_knows_is_not_called_unknown(caller: Caller, database: str) -> None:
    """Redis and the ledger tell different things of it, and no answer is better than a wrong one."""
    await book(database, "CONFIRMED")
    spend = calls.ReleaseReservationRequest(sale_id="lamp-sale", reservation_id="r-9", spend_id=True)

    heard = [
        await refusal_of(caller.reserve("r-9")),
        await refusal_of(caller.stock.GetSale(calls.GetSaleRequest(sale_id="lamp-sale"))),
        await refusal_of(caller.stock.ReleaseReservation(spend)),
    ]

    assert {(told.code, told.reason) for told in heard} == {(grpc.StatusCode.UNAVAILABLE, "SHARD_NOT_SERVING")}


async def test_a_sale_of_the_past_keeps_its_id(caller: Caller, database: str) -> None:
    """The ledger remembers it when Redis does not."""
    await book(database, "CONFIRMED")

    heard = await refusal_of(caller.create_sale())

    assert (heard.code, heard.reason) == (grpc.StatusCode.ALREADY_EXISTS, "SALE_ID_REUSED")


async def test_nothing_is_called_unknown_while_the_ledger_is_away(lonely: Caller) -> None:
    """Only it could know better."""
    name: Any = {"sale_id": "lamp-sale", "reservation_id": "r-9"}

    heard = [
        await refusal_of(lonely.stock.GetReservation(calls.GetReservationRequest(**name))),
        await refusal_of(lonely.stock.GetSale(calls.GetSaleRequest(sale_id="lamp-sale"))),
        await refusal_of(lonely.stock.ConfirmReservation(calls.ConfirmReservationRequest(**name))),
        await refusal_of(lonely.stock.ReleaseReservation(calls.ReleaseReservationRequest(**name))),
        await refusal_of(lonely.stock.ReleaseReservation(calls.ReleaseReservationRequest(**name, spend_id=True))),
        await refusal_of(lonely.reserve("r-9")),
        await refusal_of(lonely.create_sale()),
        await refusal_of(lonely.admin.BlockBuyer(admin.BlockBuyerRequest(buyer_id="b", reason="r"))),
    ]

    assert {(told.code, told.reason, told.retries) for told in heard} == {
        (grpc.StatusCode.UNAVAILABLE, "LEDGER_UNREACHABLE", True)
    }
