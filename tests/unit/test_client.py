"""The client against a server that says what the test tells it to."""

from collections.abc import Iterator
from datetime import timedelta

import grpc
import pytest
from holdfast import errors
from holdfast.blocking import BlockingClient
from holdfast.client import Client
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.inventory_service_pb2 import GetSaleResponse, ReserveRequest, ReserveResponse
from holdfast.inventory.v1.reservation_pb2 import Line, Rejection, RejectionReason, Reservation, ReservationState
from holdfast.retry import RetryPolicy
from holdfast.statuses import BY_REASON

from tests.unit.fake_inventory import Trouble, FakeInventory, bad_fields, running_fake, trouble, unavailable

HELD = ReserveResponse(
    reservation=Reservation(reservation_id="r-1", state=ReservationState.RESERVATION_STATE_HELD), replayed=True
)
# Neither gives an answer up that is only slow to come; of the second even the shortest delay ends the patience.
PATIENT = RetryPolicy(overall_s=40, attempt_s=20, first_delay_s=0.001)
HASTY = RetryPolicy(overall_s=20, attempt_s=20, first_delay_s=60)


@pytest.fixture
def fake() -> Iterator[FakeInventory]:
    with running_fake() as inventory:
        yield inventory


async def reserve(fake: FakeInventory, retry: RetryPolicy = PATIENT) -> ReserveResponse:
    async with Client(fake.address, channels=3, retry=retry) as client:
        return await client.reserve("lamps", "r-1", "ada", {"lamp": 2}, hold_ttl=timedelta(seconds=90))


async def test_a_reserve_is_asked_as_it_was_meant(fake: FakeInventory) -> None:
    """Every argument arrives in its field."""
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
        )
    ]


async def test_sold_out_is_an_answer(fake: FakeInventory) -> None:
    """Nothing is raised and nothing repeated: the server judged."""
    sold_out = ReserveResponse(rejection=Rejection(reason=RejectionReason.REJECTION_REASON_SOLD_OUT))
    fake.will_answer("Reserve", sold_out)

    assert await reserve(fake) == sold_out
    assert len(fake.asked) == 1


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(Trouble(grpc.StatusCode.UNAVAILABLE), id="connection-lost"),
        pytest.param(Trouble(grpc.StatusCode.DEADLINE_EXCEEDED), id="deadline"),
        pytest.param(unavailable(ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN), id="outcome-unknown"),
        pytest.param(unavailable(ErrorReason.ERROR_REASON_SERVER_DRAINING), id="draining"),
        pytest.param(trouble(grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_OVERLOADED), id="overloaded"),
    ],
)
async def test_what_was_not_answered_is_repeated_under_the_same_id(fake: FakeInventory, first: Trouble) -> None:
    """The very same request, so that the server knows the repeat for what it is."""
    fake.will_answer("Reserve", first, HELD)

    assert await reserve(fake) == HELD

    once, again = fake.asked
    assert once == again


async def test_a_message_too_large_is_not_repeated(fake: FakeInventory) -> None:
    """gRPC's own RESOURCE_EXHAUSTED carries no reason, and no repeat makes the message smaller."""
    fake.will_answer("Reserve", Trouble(grpc.StatusCode.RESOURCE_EXHAUSTED))

    with pytest.raises(errors.HoldfastError):
        await reserve(fake)

    assert len(fake.asked) == 1


async def test_a_call_that_a_stopping_server_cancels_is_repeated(fake: FakeInventory) -> None:
    """gRPC says CANCELLED of a call that came just as the server stopped, and the next server answers it."""
    fake.will_answer("Reserve", Trouble(grpc.StatusCode.CANCELLED), ReserveResponse())

    await reserve(fake)

    assert len(fake.asked) == 2


async def test_giving_up_tells_that_it_may_have_been_done(fake: FakeInventory) -> None:
    """The caller must learn that repeating with the same id is the only safe way on."""
    fake.will_answer("Reserve", unavailable(ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN))

    with pytest.raises(errors.OutcomeUnknown) as raised:
        await reserve(fake, HASTY)

    assert raised.value.outcome_unknown


async def test_nobody_listening_is_no_answer() -> None:
    """A refused connection is not a surprise that escapes untyped."""
    async with Client("127.0.0.1:1", channels=1, retry=HASTY) as client:
        assert not await client.reach(within_s=0.1)
        with pytest.raises(errors.NoAnswer):
            await client.get_sale("lamps")


async def test_several_servers_are_asked_in_turn(fake: FakeInventory) -> None:
    """Each takes its part of the calls."""
    with running_fake() as other:
        fake.will_answer("GetSale", *[GetSaleResponse()] * 2)
        other.will_answer("GetSale", *[GetSaleResponse()] * 2)

        async with Client(f"{fake.address},{other.address}", channels=2, retry=PATIENT) as client:
            for _ in range(4):
                await client.get_sale("lamps")

        assert (len(fake.asked), len(other.asked)) == (2, 2)


async def test_a_server_that_is_gone_costs_one_attempt(fake: FakeInventory) -> None:
    """The repeat goes to the next, with the same ids, so it does not matter whether the first had done it."""
    fake.will_answer("Reserve", HELD)

    async with Client(f"127.0.0.1:1,{fake.address}", channels=2, retry=PATIENT) as client:
        assert await client.reach(within_s=PATIENT.attempt_s)
        assert await client.reserve("lamps", "r-1", "ada", {"lamp": 2}) == HELD


async def test_a_wrong_state_carries_the_reservation(fake: FakeInventory) -> None:
    """Whoever came too late need not ask again what became of the hold."""
    expired = Reservation(reservation_id="r-1", state=ReservationState.RESERVATION_STATE_EXPIRED)
    fake.will_answer(
        "ConfirmReservation",
        trouble(
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


def test_every_reason_has_a_class_of_its_kind() -> None:
    """A reason that is added to the proto is added here."""
    reasons = set(ErrorReason.values()) - {ErrorReason.ERROR_REASON_UNSPECIFIED}

    assert set(BY_REASON) == reasons


def test_the_blocking_client_hears_the_same(fake: FakeInventory) -> None:
    """It is the same client, waited for; also its errors come through."""
    fake.will_answer("GetSale", unavailable(ErrorReason.ERROR_REASON_STORE_UNREACHABLE), GetSaleResponse())

    with BlockingClient(fake.address, channels=2, retry=PATIENT) as client:
        assert client.get_sale("lamps") == GetSaleResponse()
        with pytest.raises(errors.HoldfastError):
            client.confirm("lamps", "r-1")
