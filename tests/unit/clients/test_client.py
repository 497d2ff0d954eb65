"""The client against a server that gives the replies that the test has set."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import generate_blocking
import grpc
import pytest
from holdfast import errors
from holdfast.blocking import BlockingClient
from holdfast.client import Client
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.inventory_admin_service_pb2 import CreateSaleResponse
from holdfast.inventory.v1.inventory_service_pb2 import (
    GetReservationResponse,
    GetSaleResponse,
    ReserveRequest,
    ReserveResponse,
)
from holdfast.inventory.v1.reservation_pb2 import Line, Rejection, RejectionReason, Reservation, ReservationState
from holdfast.retry import RetryPolicy

from tests.unit.clients.fake_inventory import ErrorStatus, FakeInventory, bad_fields, error_status, unavailable
from tests.unit.clients.zone import local_zone
from tests.waiting import LONG_S

HELD = ReserveResponse(
    reservation=Reservation(reservation_id="r-1", state=ReservationState.RESERVATION_STATE_HELD), replayed=True
)
# Both wait long for one answer; the second leaves no time for a repeat.
LONG_POLICY = RetryPolicy(overall_s=40, attempt_s=20, first_delay_s=0.001)
NO_REPEAT_POLICY = RetryPolicy(overall_s=20, attempt_s=20, first_delay_s=60)


async def reserve(fake: FakeInventory, retry: RetryPolicy = LONG_POLICY) -> ReserveResponse:
    async with Client(fake.address, channels=3, retry=retry) as client:
        return await client.reserve(
            "lamps", "r-1", "ada", {"lamp": 2}, hold_ttl=timedelta(seconds=90), reference="cart-7"
        )


async def test_a_reserve_sends_every_argument_in_its_field(fake: FakeInventory) -> None:
    """The request has the ids, the lines and the time to live."""
    fake.will_answer("Reserve", HELD)

    answer = await reserve(fake)

    assert answer == HELD
    assert fake.asked == [
        ReserveRequest(
            sale_id="lamps",
            reservation_id="r-1",
            buyer_id="ada",
            lines=[Line(sku="lamp", quantity=2)],
            hold_ttl=timedelta(seconds=90),
            reference="cart-7",
        )
    ]


async def test_sold_out_is_an_answer(fake: FakeInventory) -> None:
    """Nothing is raised and nothing repeated."""
    sold_out = ReserveResponse(rejection=Rejection(reason=RejectionReason.REJECTION_REASON_SOLD_OUT))
    fake.will_answer("Reserve", sold_out)

    assert await reserve(fake) == sold_out
    assert len(fake.asked) == 1


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(ErrorStatus(grpc.StatusCode.UNAVAILABLE), id="connection-lost"),
        pytest.param(ErrorStatus(grpc.StatusCode.DEADLINE_EXCEEDED), id="deadline"),
        pytest.param(ErrorStatus(grpc.StatusCode.INTERNAL), id="internal"),
        pytest.param(ErrorStatus(grpc.StatusCode.UNKNOWN), id="unknown"),
        pytest.param(unavailable(ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN), id="outcome-unknown"),
        pytest.param(unavailable(ErrorReason.ERROR_REASON_SERVER_DRAINING), id="draining"),
        pytest.param(
            error_status(grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_OVERLOADED), id="overloaded"
        ),
    ],
)
async def test_a_call_that_got_no_answer_is_repeated_with_the_same_id(fake: FakeInventory, first: ErrorStatus) -> None:
    """The request is equal, so that the server recognises the repeat."""
    fake.will_answer("Reserve", first, HELD)

    assert await reserve(fake) == HELD

    once, again = fake.asked
    assert once == again


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        pytest.param(grpc.StatusCode.RESOURCE_EXHAUSTED, errors.HoldfastError, id="message-too-large"),
        pytest.param(grpc.StatusCode.UNIMPLEMENTED, errors.NotBuilt, id="method-unknown"),
        pytest.param(grpc.StatusCode.UNAUTHENTICATED, errors.NotAllowed, id="proxy-wants-a-token"),
        pytest.param(grpc.StatusCode.PERMISSION_DENIED, errors.NotAllowed, id="proxy-forbids-it"),
    ],
)
async def test_a_call_that_was_not_begun_is_not_repeated(
    fake: FakeInventory, code: grpc.StatusCode, kind: type[errors.HoldfastError]
) -> None:
    """These codes without a reason say that nothing was done, and a repeat would get the same."""
    fake.will_answer("Reserve", ErrorStatus(code))

    with pytest.raises(kind) as raised:
        await reserve(fake)

    assert len(fake.asked) == 1
    assert not raised.value.outcome_unknown


async def test_a_code_of_grpc_after_which_nothing_is_known_is_no_answer(fake: FakeInventory) -> None:
    """INTERNAL may be a reply that was damaged after the call was done."""
    fake.will_answer("Reserve", ErrorStatus(grpc.StatusCode.INTERNAL))

    with pytest.raises(errors.NoAnswer) as raised:
        await reserve(fake, NO_REPEAT_POLICY)

    assert raised.value.outcome_unknown
    assert str(raised.value).startswith("reservation r-1 of sale lamps: ")


async def test_a_call_that_a_stopping_server_cancels_is_repeated(fake: FakeInventory) -> None:
    """gRPC says CANCELLED of a call that came just as the server stopped, and the next server answers it."""
    fake.will_answer("Reserve", ErrorStatus(grpc.StatusCode.CANCELLED), ReserveResponse())

    await reserve(fake)

    assert len(fake.asked) == 2


async def test_giving_up_says_that_it_may_have_been_done(fake: FakeInventory) -> None:
    """From that the caller knows to repeat with the same id and with no other."""
    fake.will_answer("Reserve", unavailable(ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN))

    with pytest.raises(errors.OutcomeUnknown) as raised:
        await reserve(fake, NO_REPEAT_POLICY)

    assert raised.value.outcome_unknown


async def test_all_calls_of_a_client_share_its_budget_for_repeats(fake: FakeInventory) -> None:
    """Ten calls have one repeat between them, and the other calls their error at once."""
    away = unavailable(ErrorReason.ERROR_REASON_STORE_UNREACHABLE)
    fake.will_answer("GetSale", *[GetSaleResponse()] * 9, away, GetSaleResponse(), away)
    policy = RetryPolicy(overall_s=LONG_S, first_delay_s=0.001, repeats_per_s=0)

    async with Client(fake.address, retry=policy) as client:
        for _ in range(10):
            await client.with_options(metadata=[("x-cart", "7")]).get_sale("lamps")
        with pytest.raises(errors.StoreUnreachable):
            await client.get_sale("lamps")

    assert len(fake.asked) == 12


async def test_another_rate_of_repeats_is_a_budget_of_its_own(fake: FakeInventory) -> None:
    """It would have no effect on the budget that the client was made with."""
    away = unavailable(ErrorReason.ERROR_REASON_STORE_UNREACHABLE)
    fake.will_answer("GetSale", away, GetSaleResponse(), away)
    policy = RetryPolicy(overall_s=LONG_S, first_delay_s=0.001, repeats_per_s=0)

    async with Client(fake.address, retry=policy) as client:
        assert await client.with_options(retry=replace(policy, repeats_per_s=10)).get_sale("lamps") == GetSaleResponse()
        with pytest.raises(errors.StoreUnreachable):
            await client.get_sale("lamps")


async def test_after_a_call_that_only_reads_nothing_is_unknown(fake: FakeInventory) -> None:
    """Nothing was to be done; not by an `extend` either that could not read what it is to extend."""
    fake.will_answer("GetSale", ErrorStatus(grpc.StatusCode.UNAVAILABLE))
    fake.will_answer("GetReservation", *[ErrorStatus(grpc.StatusCode.UNAVAILABLE)] * 2)

    async with Client(fake.address, retry=NO_REPEAT_POLICY) as client:
        for call in (
            client.get_sale("lamps"),
            client.get_reservation("lamps", "r-1"),
            client.extend("lamps", "r-1", by=timedelta(minutes=5)),
        ):
            with pytest.raises(errors.NoAnswer) as raised:
                await call
            assert not raised.value.outcome_unknown


async def test_an_attempt_lasts_longer_where_the_ledger_may_be_asked(fake: FakeInventory) -> None:
    """A server gives the ledger more time than Redis; Reserve, which rarely needs it, is soon sent to another."""
    policy = RetryPolicy(overall_s=90, attempt_s=30, ledger_attempt_s=60)
    fake.will_answer("Reserve", HELD)
    fake.will_answer("GetReservation", GetReservationResponse())

    async with Client(fake.address, retry=policy) as client:
        await client.reserve("lamps", "r-1", "ada", {"lamp": 2})
        await client.get_reservation("lamps", "r-1")

    reserve_s, read_s = fake.deadlines_s
    assert 0 < reserve_s < 31 < read_s < 61  # gRPC rounds a deadline up


async def test_a_wrong_state_carries_the_reservation(fake: FakeInventory) -> None:
    """A caller that is too late sees from the error what became of the hold."""
    expired = Reservation(reservation_id="r-1", state=ReservationState.RESERVATION_STATE_EXPIRED)
    fake.will_answer(
        "ConfirmReservation",
        error_status(
            grpc.StatusCode.FAILED_PRECONDITION,
            ErrorReason.ERROR_REASON_WRONG_RESERVATION_STATE,
            expired,
            state="RESERVATION_STATE_EXPIRED",
        ),
    )

    async with Client(fake.address, channels=1) as client:
        with pytest.raises(errors.WrongReservationState) as raised:
            await client.confirm("lamps", "r-1")

    assert raised.value.reservation == expired
    assert raised.value.metadata == {"state": "RESERVATION_STATE_EXPIRED"}


async def test_a_malformed_request_names_its_fields(fake: FakeInventory) -> None:
    """All of them at once, as the server did."""
    fake.will_answer("Reserve", bad_fields(sale_id="is empty", buyer_id="is empty"))

    with pytest.raises(errors.InvalidRequest) as raised:
        await reserve(fake)

    assert raised.value.violations == {"sale_id": "is empty", "buyer_id": "is empty"}


def test_the_blocking_client_returns_and_raises_the_same(fake: FakeInventory) -> None:
    """It runs the asyncio client and waits for it."""
    fake.will_answer("GetSale", unavailable(ErrorReason.ERROR_REASON_STORE_UNREACHABLE), GetSaleResponse())

    with BlockingClient(fake.address, channels=2, retry=LONG_POLICY) as client:
        assert client.get_sale("lamps") == GetSaleResponse()
        with pytest.raises(errors.HoldfastError):
            client.confirm("lamps", "r-1")


def test_the_blocking_client_is_made_from_the_asyncio_client() -> None:
    """A new method or parameter is in blocking.py too: run generate_blocking.py."""
    made = generate_blocking.blocking_source([source.read_text() for source in generate_blocking.SOURCES])

    assert generate_blocking.TARGET.read_text() == made


async def test_a_time_without_a_zone_is_local_time(fake: FakeInventory) -> None:
    """Python means local time by it; protobuf would take it for UTC, and the sale would open nine hours late."""
    fake.will_answer("CreateSale", CreateSaleResponse())
    ten, noon = datetime(2026, 11, 27, 10), datetime(2026, 11, 27, 12, tzinfo=UTC)  # noqa: DTZ001

    with local_zone("Asia/Tokyo"):
        async with Client(fake.address, channels=1, retry=LONG_POLICY) as client:
            await client.create_sale("lamps", {"lamp": 1}, start_time=ten, end_time=noon)

    [asked] = fake.asked
    assert asked.sale.start_time.ToJsonString() == "2026-11-27T01:00:00Z"
    assert asked.sale.end_time.ToJsonString() == "2026-11-27T12:00:00Z"
