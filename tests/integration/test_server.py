"""The server on real stores, through the generated stubs: what callers get, and how they are told what they do not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import grpc
import pytest
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.inventory_admin_service_pb2_grpc import InventoryAdminServiceStub
from holdfast.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from holdfast.inventory.v1.reservation_pb2 import Line
from holdfast.inventory.v1.sale_pb2 import Item

from tests.integration.served import (
    NOWHERE,
    Caller,
    Told,
    calling,
    open_shards,
    reserve_request,
    served_here,
    told,
)
from tests.servers import StartValkey, connected

SERVICE = "/holdfast.inventory.v1.InventoryService"
NOT_BUILT = [
    *((InventoryServiceStub, name) for name in ("BatchReserve", "ExtendReservation", "ReturnReservation")),
    *((InventoryServiceStub, name) for name in ("ListReservations", "WatchReservation", "WatchSale", "StreamReserve")),
    *((InventoryAdminServiceStub, name) for name in ("UpdateSale", "ListSales", "PauseSale", "ResumeSale")),
    *((InventoryAdminServiceStub, name) for name in ("CloseSale", "AdjustStock", "ListAdjustments", "AuditSale")),
    *((InventoryAdminServiceStub, name) for name in ("ListDeadLetters", "ReplayDeadLetter", "UnblockBuyer")),
]


@pytest.fixture
async def caller(valkey: str, database: str) -> AsyncIterator[Caller]:
    """Calls a server with open shards and a ledger."""
    await open_shards(valkey)
    async with served_here(valkey, database) as address, calling(address) as caller:
        yield caller


@pytest.fixture
async def lonely(valkey: str) -> AsyncIterator[Caller]:
    """Calls a server with open shards whose ledger is away."""
    await open_shards(valkey)
    async with served_here(valkey, NOWHERE) as address, calling(address) as caller:
        yield caller


async def refusal(call: Awaitable[Any]) -> Told:
    """What a call is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return told(refused.value)


async def raw_call(caller: Caller, method: str, sent: bytes) -> bytes:
    """Send bytes that no stub would send."""
    call: Any = caller.channel.unary_unary(f"{SERVICE}/{method}")
    answer: bytes = await call(sent)
    return answer


# ------------------------------------------------------------------------------------------------------ answers


async def test_one_reservation_from_making_to_confirming(caller: Caller) -> None:
    """The whole life of a hold that ends well, and the same words whoever asks."""
    await caller.create_sale(units=5)

    held = await caller.reserve("r-1", quantity=2)
    again = await caller.reserve("r-1", quantity=2)
    name: Any = {"sale_id": "lamp-sale", "reservation_id": "r-1"}
    confirmed = await caller.stock.ConfirmReservation(calls.ConfirmReservationRequest(**name))
    found = await caller.stock.GetReservation(calls.GetReservationRequest(**name))
    sale = await caller.stock.GetSale(calls.GetSaleRequest(sale_id="lamp-sale"))

    assert (held.reservation.state, held.replayed, again.replayed) == (1, False, True)
    assert again.reservation == held.reservation
    assert (confirmed.reservation.state, confirmed.reservation.lines[0].confirmed_quantity) == (2, 2)
    assert found.reservation == confirmed.reservation
    assert [(item.total, item.available, item.held, item.sold) for item in sale.sale.items] == [(5, 3, 0, 2)]


async def test_a_release_gives_back_and_an_ended_id_says_so(caller: Caller) -> None:
    """What was released is gone for this id, and there for the next."""
    await caller.create_sale(units=1)
    await caller.reserve("r-1")

    released = await caller.stock.ReleaseReservation(
        calls.ReleaseReservationRequest(sale_id="lamp-sale", reservation_id="r-1", reason="changed my mind")
    )
    ended = await caller.reserve("r-1")
    other = await caller.reserve("r-2")

    assert (released.reservation.state, released.reservation.note) == (3, "changed my mind")
    assert (ended.rejection.reason, ended.replayed, ended.rejection.ended.state) == (8, True, 3)
    assert other.reservation.state == 1


async def test_sold_out_is_an_answer(caller: Caller) -> None:
    """With what is short, and no status."""
    await caller.create_sale(units=1)
    await caller.reserve("r-1")

    answer = await caller.reserve("r-2")

    assert answer.rejection.reason == 1
    assert [(line.sku, line.requested, line.held) for line in answer.rejection.shortages] == [("lamp", 1, 1)]


async def test_a_hundred_buyers_want_ten_units(caller: Caller) -> None:
    """Promise 1, no oversell: ten of them get one, whatever calls they shared."""
    await caller.create_sale(units=10)

    answers = await asyncio.gather(*(caller.reserve(f"r-{n}") for n in range(100)))

    assert sum(answer.HasField("reservation") for answer in answers) == 10
    sale = await caller.stock.GetSale(calls.GetSaleRequest(sale_id="lamp-sale"))
    assert [(item.available, item.held) for item in sale.sale.items] == [(0, 10)]


async def test_concurrent_requests_share_script_calls(caller: Caller) -> None:
    """Fifty requests at once make far fewer commits than fifty."""
    await caller.create_sale(units=50)

    answers = await asyncio.gather(*(caller.reserve(f"r-{n}") for n in range(50)))

    commits = {(answer.reservation.position.epoch, answer.reservation.position.seq) for answer in answers}
    assert len(commits) <= 25


async def test_a_sale_made_twice_is_one_sale(caller: Caller) -> None:
    """An operator in doubt repeats the call."""
    sale = admin.CreateSaleRequest(sale={"sale_id": "s", "items": [Item(sku="a", total=1)]})

    first, second = await caller.admin.CreateSale(sale), await caller.admin.CreateSale(sale)

    assert (first.replayed, second.replayed) == (False, True)
    assert second.sale == first.sale


async def test_a_buyer_is_blocked_in_the_ledger(caller: Caller, database: str) -> None:
    """Twice is harmless, and the first reason stays."""
    for reason in ("stolen card", "another word"):
        await caller.admin.BlockBuyer(admin.BlockBuyerRequest(buyer_id="b-1", reason=reason))

    async with connected(database) as ledger:
        assert [tuple(row) for row in await ledger.fetch("select tenant, buyer_id, reason from blocked_buyer")] == [
            ("default", "b-1", "stolen card")
        ]


# ----------------------------------------------------------------------------------------------- bad requests


async def test_every_bad_field_is_named(caller: Caller) -> None:
    """In one answer, so that a caller mends them in one go."""
    heard = await refusal(caller.stock.Reserve(calls.ReserveRequest(lines=[Line(sku="/", quantity=0)])))

    fields = ["sale_id", "reservation_id", "buyer_id", "lines[0].sku", "lines[0].quantity"]
    assert (heard.code, heard.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_OUT_OF_BOUNDS")
    assert (heard.fields, heard.metadata) == (fields, {"violations": "5"})


async def test_a_sale_that_starts_now_and_has_ended_is_refused_by_its_field(caller: Caller) -> None:
    """As one whose start was given is: a sale that could never sell is a slip."""
    heard = await refusal(caller.create_sale(end_time={"seconds": 1}))

    assert (heard.code, heard.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_OUT_OF_BOUNDS")
    assert (heard.fields, heard.metadata["violations"]) == (["sale.end_time"], "1")


async def test_hundreds_of_bad_fields_still_fit_a_status(caller: Caller) -> None:
    """Trailers end at 8 KiB; what passes them becomes another status, at random."""
    items = [Item(sku="/", total=-1) for _ in range(300)]

    heard = await refusal(caller.admin.CreateSale(admin.CreateSaleRequest(sale={"sale_id": "s", "items": items})))

    assert (len(heard.fields), heard.metadata["violations"]) == (20, "600")


async def test_bytes_that_are_no_message_are_refused_in_our_words(caller: Caller) -> None:
    """gRPC by itself says UNKNOWN, which means that anything may have happened."""
    heard = await refusal(raw_call(caller, "Reserve", b"\xff\xff\xff"))

    assert (heard.code, heard.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNREADABLE")


async def test_an_unknown_field_stops_a_call_that_changes_something(caller: Caller) -> None:
    """And a read goes on without it."""
    await caller.create_sale()
    unknown = b"\xf8\x07\x01"

    heard = await refusal(raw_call(caller, "Reserve", reserve_request("r-1").SerializeToString() + unknown))
    read = await raw_call(caller, "GetSale", calls.GetSaleRequest(sale_id="lamp-sale").SerializeToString() + unknown)

    assert (heard.code, heard.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_FIELD")
    assert calls.GetSaleResponse.FromString(read).sale.sale_id == "lamp-sale"


async def test_a_message_over_4_mib_is_refused(caller: Caller) -> None:
    """By gRPC itself, in its own words."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await raw_call(caller, "Reserve", b"\x0a" + bytes(4 * 1024 * 1024))

    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(("stub", "name"), NOT_BUILT)
async def test_a_call_that_is_not_built_says_so(caller: Caller, stub: Any, name: str) -> None:
    """Known to the protos and to this server, and never silently ignored."""
    method = getattr(stub(caller.channel), name)

    heard = await refusal(_first_of(method))

    assert (heard.code, heard.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_BUILT")


async def _first_of(method: Any) -> Any:
    """Call a method of any kind with nothing, and wait for its first answer."""
    if isinstance(method, grpc.aio.StreamStreamMultiCallable):
        return await method(iter([calls.StreamReserveRequest()])).read()
    call = method(_request_of(method))
    return await (call.read() if isinstance(method, grpc.aio.UnaryStreamMultiCallable) else call)


def _request_of(method: Any) -> Any:
    name = method._method.decode().rpartition("/")[2] + "Request"
    return getattr(calls if hasattr(calls, name) else admin, name)()


async def test_half_a_confirm_is_not_built(caller: Caller) -> None:
    """A caller that asks for half must not get everything."""
    await caller.create_sale()
    await caller.reserve("r-1")

    heard = await refusal(
        caller.stock.ConfirmReservation(
            calls.ConfirmReservationRequest(sale_id="lamp-sale", reservation_id="r-1", partial=calls.PartialConfirm())
        )
    )

    assert (heard.code, heard.metadata) == (grpc.StatusCode.UNIMPLEMENTED, {"field": "partial"})


# ----------------------------------------------------------------------------------------- ids and their state


async def test_ids_that_are_not_there_are_named(caller: Caller) -> None:
    """Sale, item and reservation each have their reason."""
    await caller.create_sale()
    name: Any = {"sale_id": "lamp-sale", "reservation_id": "r-9"}
    sofa = reserve_request("r-1")
    sofa.lines[0].sku = "sofa"

    sale = await refusal(caller.reserve("r-1", sale_id="no-sale"))
    get_sale = await refusal(caller.stock.GetSale(calls.GetSaleRequest(sale_id="no-sale")))
    item = await refusal(caller.stock.Reserve(sofa))
    get = await refusal(caller.stock.GetReservation(calls.GetReservationRequest(**name)))
    confirm = await refusal(caller.stock.ConfirmReservation(calls.ConfirmReservationRequest(**name)))
    release = await refusal(caller.stock.ReleaseReservation(calls.ReleaseReservationRequest(**name)))

    assert {heard.code for heard in (sale, get_sale, item, get, confirm, release)} == {grpc.StatusCode.NOT_FOUND}
    assert sale.metadata == {"sale_id": "no-sale", "reservation_id": "r-1"}
    assert (sale.reason, get_sale.reason, item.reason) == ("SALE_NOT_FOUND", "SALE_NOT_FOUND", "ITEM_NOT_FOUND")
    assert item.metadata["sku"] == "sofa"
    assert [heard.reason for heard in (get, confirm, release)] == ["RESERVATION_NOT_FOUND"] * 3
    assert get.metadata == name


async def test_an_id_with_another_body_is_refused(caller: Caller) -> None:
    """For a reservation and for a sale."""
    await caller.create_sale()
    await caller.reserve("r-1")

    reservation = await refusal(caller.reserve("r-1", quantity=2))
    sale = await refusal(caller.create_sale(units=11))

    assert (reservation.code, reservation.reason) == (grpc.StatusCode.ALREADY_EXISTS, "RESERVATION_ID_REUSED")
    assert reservation.metadata == {"sale_id": "lamp-sale", "reservation_id": "r-1"}
    assert (sale.code, sale.reason) == (grpc.StatusCode.ALREADY_EXISTS, "SALE_ID_REUSED")


async def test_a_wrong_state_comes_with_the_reservation(caller: Caller) -> None:
    """A confirmed one cannot be released."""
    await caller.create_sale()
    await caller.reserve("r-1")
    name: Any = {"sale_id": "lamp-sale", "reservation_id": "r-1"}
    await caller.stock.ConfirmReservation(calls.ConfirmReservationRequest(**name))

    heard = await refusal(caller.stock.ReleaseReservation(calls.ReleaseReservationRequest(**name)))

    assert (heard.code, heard.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WRONG_RESERVATION_STATE")
    assert heard.metadata["state"] == "RESERVATION_STATE_CONFIRMED"
    assert heard.reservation is not None
    assert heard.reservation.reservation_id == "r-1"


async def test_a_sale_without_holds_refuses_a_time(caller: Caller) -> None:
    """And sells at once to who does not ask for one."""
    await caller.create_sale(hold_ttl={"seconds": 0})
    timed = reserve_request("r-1")
    timed.hold_ttl.seconds = 60

    heard = await refusal(caller.stock.Reserve(timed))
    bought = await caller.reserve("r-1")

    assert (heard.code, heard.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SALE_WITHOUT_HOLDS")
    assert (bought.reservation.state, bought.reservation.HasField("expire_time")) == (2, False)


# -------------------------------------------------------------------------------------------- what Redis forgot


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
    released = await refusal(caller.stock.ReleaseReservation(calls.ReleaseReservationRequest(**name)))

    spent = await refusal(caller.stock.ReleaseReservation(calls.ReleaseReservationRequest(**name, spend_id=True)))

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
        await refusal(caller.reserve("r-9")),
        await refusal(caller.stock.GetSale(calls.GetSaleRequest(sale_id="lamp-sale"))),
        await refusal(caller.stock.ReleaseReservation(spend)),
    ]

    assert {(told.code, told.reason) for told in heard} == {(grpc.StatusCode.UNAVAILABLE, "SHARD_NOT_SERVING")}


async def test_a_sale_of_the_past_keeps_its_id(caller: Caller, database: str) -> None:
    """The ledger remembers it when Redis does not."""
    await book(database, "CONFIRMED")

    heard = await refusal(caller.create_sale())

    assert (heard.code, heard.reason) == (grpc.StatusCode.ALREADY_EXISTS, "SALE_ID_REUSED")


async def test_nothing_is_called_unknown_while_the_ledger_is_away(lonely: Caller) -> None:
    """Only it could know better."""
    name: Any = {"sale_id": "lamp-sale", "reservation_id": "r-9"}

    heard = [
        await refusal(lonely.stock.GetReservation(calls.GetReservationRequest(**name))),
        await refusal(lonely.stock.GetSale(calls.GetSaleRequest(sale_id="lamp-sale"))),
        await refusal(lonely.stock.ConfirmReservation(calls.ConfirmReservationRequest(**name))),
        await refusal(lonely.stock.ReleaseReservation(calls.ReleaseReservationRequest(**name))),
        await refusal(lonely.stock.ReleaseReservation(calls.ReleaseReservationRequest(**name, spend_id=True))),
        await refusal(lonely.reserve("r-9")),
        await refusal(lonely.create_sale()),
        await refusal(lonely.admin.BlockBuyer(admin.BlockBuyerRequest(buyer_id="b", reason="r"))),
    ]

    assert {(told.code, told.reason, told.retries) for told in heard} == {
        (grpc.StatusCode.UNAVAILABLE, "LEDGER_UNREACHABLE", True)
    }


# ----------------------------------------------------------------------------------------------- store trouble


async def test_a_blank_redis_is_never_believed(valkey: str, database: str) -> None:
    """Promise 7: UNAVAILABLE, and not "no such sale" nor a full stock."""
    async with served_here(valkey, database) as address, calling(address) as caller:
        heard = await refusal(caller.reserve("r-1"))

    assert (heard.code, heard.reason, heard.retries) == (grpc.StatusCode.UNAVAILABLE, "SHARD_NOT_SERVING", True)


async def test_a_store_that_is_away_says_that_nothing_was_done(start_valkey: StartValkey, database: str) -> None:
    """And serves again when it is back and was taken over."""
    valkey = start_valkey()
    await open_shards(valkey.address)
    async with served_here(valkey.address, database) as address, calling(address) as caller:
        await caller.create_sale()

        valkey.stop()
        heard = await refusal(caller.reserve("r-1"))
        valkey.start()
        await open_shards(valkey.address, epoch=2)
        again = await caller.reserve("r-1")

    assert (heard.code, heard.reason, heard.retries) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNREACHABLE", True)
    assert (again.HasField("reservation"), again.replayed) == (True, False)


async def test_a_full_queue_is_told_and_nothing_was_done(caller: Caller, valkey: str, database: str) -> None:
    """RESOURCE_EXHAUSTED with a time to come back; the other callers are served."""
    await caller.create_sale(units=1000)
    async with served_here(valkey, database, queue_limit=1) as address, calling(address) as crowd:
        answers = await asyncio.gather(*(crowd.reserve(f"r-{n}") for n in range(50)), return_exceptions=True)

    refused = [told(answer) for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    held = [answer for answer in answers if isinstance(answer, calls.ReserveResponse)]
    assert {(heard.code, heard.reason, heard.retries) for heard in refused} == {
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", True)
    }
    sale = await caller.stock.GetSale(calls.GetSaleRequest(sale_id="lamp-sale"))
    assert sale.sale.items[0].held == len(held) > 0


async def test_a_call_without_time_is_not_begun(caller: Caller) -> None:
    """Its caller has gone before the answer could reach it, by our word or by gRPC's."""
    await caller.create_sale()

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.stock.Reserve(reserve_request("r-1"), timeout=0.001)

    assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
