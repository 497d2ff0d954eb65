"""Calls about ids that Redis does not have: the server reads the ledger before it answers."""

from typing import Any

import grpc
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import Line

from tests.inventory_server import (
    Caller,
    error_of,
)
from tests.servers import connected


async def insert_into_ledger(database: str, state: str) -> None:
    """Write a sale and a reservation into the ledger, as the persister does."""
    async with connected(database) as ledger:
        await ledger.execute(
            """insert into sale (tenant, sale_id, title, start_time, hold_ttl_ms, max_hold_ttl_ms, buyer_limit,
            create_time, update_time, shard, etag_epoch, etag_seq, etag_index, body, attempts_per_minute,
            return_window_ms)
            values ('default', 'lamp-sale', '', now(), 1, 1, 0, now(), now(), 0, 1, 1, 0, '', 0, 0)"""
        )
        await ledger.execute(
            """insert into reservation values ('default', 'lamp-sale', 'r-1', 'buyer-r-1', $1, 2, now(), now(), null,
            0, 1, 2, 0, 1, 3, 0, 'RECORDED', null, '', 0, '')""",
            state,
        )


async def test_an_unknown_id_can_be_spent(caller: Caller) -> None:
    """A Reserve that comes later finds it ended; spending it again is a repeat."""
    await caller.create_sale()
    spend = calls.ReleaseReservationRequest(sale_id="lamp-sale", reservation_id="r-1", spend_id=True)

    spent = await caller.stock.ReleaseReservation(spend)
    again = await caller.stock.ReleaseReservation(spend)
    reserved = await caller.reserve("r-1")

    assert [(answer.reservation.state, answer.replayed) for answer in (spent, again)] == [(3, False), (3, True)]
    assert (reserved.rejection.reason, reserved.rejection.ended.state) == (8, 3)


async def test_a_lost_reservation_is_not_found_and_names_its_commit(caller: Caller, database: str) -> None:
    """Its caller learns that it did not dream: a commit that the ledger never takes had it."""
    await caller.create_sale()
    async with connected(database) as ledger:
        await ledger.execute(
            """insert into orphan (shard, epoch, seq, index, hash, tenant, sale_id, reservation_id, buyer_id, lines,
            state, why) values (0, 7, 3, 0, '', 'default', 'lamp-sale', 'r-1', 'ann', '[]', 'HELD', 'a test')"""
        )
    name: Any = {"sale_id": "lamp-sale", "reservation_id": "r-1"}
    lines, stock = [Line(sku="lamp", quantity=1)], caller.stock
    asked: dict[str, Any] = {
        "get": stock.GetReservation(calls.GetReservationRequest(**name)),
        "confirm": stock.ConfirmReservation(calls.ConfirmReservationRequest(**name)),
        "release": stock.ReleaseReservation(calls.ReleaseReservationRequest(**name)),
        "extend": stock.ExtendReservation(calls.ExtendReservationRequest(**name, hold_ttl={"seconds": 60})),
        "change": stock.ChangeReservation(calls.ChangeReservationRequest(**name, lines=lines)),
        "return": stock.ReturnReservation(calls.ReturnReservationRequest(**name, reason="broken", lines=lines)),
    }

    errors = {call: await error_of(answer) for call, answer in asked.items()}

    told = {call: (error.reason, error.metadata.get("lost")) for call, error in errors.items()}
    assert told == dict.fromkeys(asked, ("RESERVATION_NOT_FOUND", "7-3"))


async def test_a_sale_only_in_the_ledger_is_not_reported_as_not_found(caller: Caller, database: str) -> None:
    """Redis and the ledger contradict each other, so every call fails with SHARD_NOT_SERVING."""
    await insert_into_ledger(database, "CONFIRMED")
    spend = calls.ReleaseReservationRequest(sale_id="lamp-sale", reservation_id="r-9", spend_id=True)

    errors = [
        await error_of(caller.reserve("r-9")),
        await error_of(caller.stock.GetSale(calls.GetSaleRequest(sale_id="lamp-sale"))),
        await error_of(caller.stock.ReleaseReservation(spend)),
    ]

    assert {(error.code, error.reason) for error in errors} == {(grpc.StatusCode.UNAVAILABLE, "SHARD_NOT_SERVING")}
