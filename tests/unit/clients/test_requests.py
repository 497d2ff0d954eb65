"""Each method of the client sends its arguments in their fields, and returns the response as it came."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from holdfast.client import Client
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import Line, Rejection, RejectionReason, Reservation
from holdfast.inventory.v1.sale_pb2 import Item, Sale
from holdfast.retry import RetryPolicy

from tests.unit.clients.fake_inventory import FakeInventory
from tests.waiting import LONG_S

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
IDS = ("lamps", "r-1")
NAMED: dict[str, Any] = {"sale_id": "lamps", "reservation_id": "r-1"}
TWO_LAMPS = [Line(sku="lamp", quantity=2)]
MINUTE = timedelta(minutes=1)
PATIENT = RetryPolicy(overall_s=LONG_S, attempt_s=LONG_S)

SENT: list[tuple[str, Callable[[Client], Awaitable[Any]], Message]] = [
    ("confirm all", lambda client: client.confirm(*IDS), calls.ConfirmReservationRequest(**NAMED)),
    (
        "confirm some",
        lambda client: client.confirm(*IDS, lines={"lamp": 2}, expected_revision=3),
        calls.ConfirmReservationRequest(**NAMED, partial=calls.PartialConfirm(lines=TWO_LAMPS), expected_revision=3),
    ),
    (
        "confirm nothing, which the server refuses",
        lambda client: client.confirm(*IDS, lines={}),
        calls.ConfirmReservationRequest(**NAMED, partial=calls.PartialConfirm()),
    ),
    (
        "release",
        lambda client: client.release(*IDS, reason="sold elsewhere", spend_id=True, expected_revision=1),
        calls.ReleaseReservationRequest(**NAMED, reason="sold elsewhere", spend_id=True, expected_revision=1),
    ),
    (
        "extend",
        lambda client: client.extend(*IDS, MINUTE, expected_revision=1),
        calls.ExtendReservationRequest(**NAMED, hold_ttl=MINUTE, expected_revision=1),
    ),
    (
        "change",
        lambda client: client.change(*IDS, {"lamp": 2}, expected_revision=2),
        calls.ChangeReservationRequest(**NAMED, lines=TWO_LAMPS, expected_revision=2),
    ),
    (
        "return all",
        lambda client: client.return_(*IDS, "too dark"),
        calls.ReturnReservationRequest(**NAMED, reason="too dark"),
    ),
    (
        "return some",
        lambda client: client.return_(*IDS, "broken", lines={"lamp": 2}, discard=True, expected_revision=4),
        calls.ReturnReservationRequest(**NAMED, reason="broken", lines=TWO_LAMPS, discard=True, expected_revision=4),
    ),
    (
        "create a sale",
        lambda client: client.create_sale(
            "lamps",
            {"lamp": 10, "shade": 20},
            item_limits={"lamp": 1},
            title="Lamps",
            start_time=NOON,
            end_time=NOON + MINUTE,
            hold_ttl=MINUTE,
            max_hold_ttl=2 * MINUTE,
            buyer_limit=4,
            attempts_per_minute=30,
            return_window=timedelta(days=14),
        ),
        admin.CreateSaleRequest(
            sale=Sale(
                sale_id="lamps",
                title="Lamps",
                start_time=NOON,
                end_time=NOON + MINUTE,
                hold_ttl=MINUTE,
                max_hold_ttl=2 * MINUTE,
                buyer_limit=4,
                attempts_per_minute=30,
                return_window=timedelta(days=14),
                items=[Item(sku="lamp", total=10, buyer_limit=1), Item(sku="shade", total=20)],
            )
        ),
    ),
    (
        "update a sale",
        lambda client: client.update_sale("lamps", title="More lamps", end_time=None, buyer_limit=0, etag="e-1"),
        admin.UpdateSaleRequest(
            sale=Sale(sale_id="lamps", title="More lamps", etag="e-1"),
            update_mask=FieldMask(paths=["title", "end_time", "buyer_limit"]),
        ),
    ),
    (
        "add an item",
        lambda client: client.update_sale("lamps", items={"bulb": 5}, item_limits={"bulb": 2}),
        admin.UpdateSaleRequest(
            sale=Sale(sale_id="lamps", items=[Item(sku="bulb", total=5, buyer_limit=2)]),
            update_mask=FieldMask(paths=["items"]),
        ),
    ),
    (
        "pause",
        lambda client: client.pause_sale("lamps", reason="price", etag="e-1"),
        admin.PauseSaleRequest(sale_id="lamps", reason="price", etag="e-1"),
    ),
    (
        "resume",
        lambda client: client.resume_sale("lamps", reason="price", etag="e-1"),
        admin.ResumeSaleRequest(sale_id="lamps", reason="price", etag="e-1"),
    ),
    (
        "close",
        lambda client: client.close_sale("lamps", release_holds=True, reason="fire", etag="e-1"),
        admin.CloseSaleRequest(sale_id="lamps", release_holds=True, reason="fire", etag="e-1"),
    ),
    (
        "add stock",
        lambda client: client.adjust_stock("lamps", "lamp", "a-1", "found", delta=5, reference="note 7"),
        admin.AdjustStockRequest(
            sale_id="lamps", sku="lamp", adjustment_id="a-1", delta=5, reason="found", reference="note 7"
        ),
    ),
    (
        "set stock",
        lambda client: client.adjust_stock("lamps", "lamp", "a-1", "none", new_total=0, expected_total=0),
        admin.AdjustStockRequest(
            sale_id="lamps", sku="lamp", adjustment_id="a-1", new_total=0, expected_total=0, reason="none"
        ),
    ),
    ("audit", lambda client: client.audit_sale("lamps"), admin.AuditSaleRequest(sale_id="lamps")),
    (
        "replay",
        lambda client: client.replay_dead_letter("d-1", "r-1"),
        admin.ReplayDeadLetterRequest(dead_letter_id="d-1", reservation_id="r-1"),
    ),
    (
        "revoke a token",
        lambda client: client.revoke_tokens("stolen", jti="t-1"),
        admin.RevokeTokensRequest(jti="t-1", reason="stolen"),
    ),
    (
        "revoke all tokens of a subject",
        lambda client: client.revoke_tokens("left", subject="ada"),
        admin.RevokeTokensRequest(subject_tokens=admin.SubjectTokens(subject="ada"), reason="left"),
    ),
    (
        "revoke the older tokens of a subject",
        lambda client: client.revoke_tokens("left", subject="ada", issued_before=NOON),
        admin.RevokeTokensRequest(subject_tokens=admin.SubjectTokens(subject="ada", issued_before=NOON), reason="left"),
    ),
    ("unblock", lambda client: client.unblock_buyer("ada"), admin.UnblockBuyerRequest(buyer_id="ada")),
]


@pytest.mark.parametrize(("call", "request_"), [row[1:] for row in SENT], ids=[row[0] for row in SENT])
async def test_a_method_sends_its_arguments(
    fake: FakeInventory, call: Callable[[Client], Awaitable[Any]], request_: Message
) -> None:
    """What is not given stays unset, and what is given as zero or empty is set."""
    method = type(request_).__name__.removesuffix("Request")
    response = getattr(admin if hasattr(admin, f"{method}Response") else calls, f"{method}Response")()
    fake.will_answer(method, response)

    async with Client(fake.address, retry=PATIENT) as client:
        answer = await call(client)

    assert fake.asked == [request_]
    assert answer == response


async def test_extend_by_reads_first_and_asks_for_the_whole_life(fake: FakeInventory) -> None:
    """By the shard's clock, not this machine's; the request is the same in all its attempts."""
    read = calls.GetReservationResponse(reservation=Reservation(create_time=NOON), read_time=NOON + MINUTE * 1.5)
    fake.will_answer("GetReservation", read)
    fake.will_answer("ExtendReservation", calls.ExtendReservationResponse())

    async with Client(fake.address, retry=PATIENT) as client:
        await client.extend(*IDS, by=10 * MINUTE)

    assert fake.asked[1] == calls.ExtendReservationRequest(**NAMED, hold_ttl=timedelta(minutes=11, seconds=30))


async def test_extend_by_reads_and_extends_within_one_patience(
    fake: FakeInventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller that waits for a minute at most does not wait for two."""
    clock = SimpleNamespace(monotonic=iter([100.0, 140.0]).__next__)  # it read for 40 seconds
    monkeypatch.setattr("holdfast.calls.reservations.time", clock)
    fake.will_answer("GetReservation", calls.GetReservationResponse())
    fake.will_answer("ExtendReservation", calls.ExtendReservationResponse())

    async with Client(fake.address, retry=RetryPolicy(overall_s=60, ledger_attempt_s=60)) as client:
        await client.extend(*IDS, by=MINUTE)

    read_s, extend_s = fake.deadlines_s
    assert extend_s < 21 < read_s


async def test_an_audit_may_take_as_long_as_servers_let_it(fake: FakeInventory) -> None:
    """Its patience is its own, unless the caller says how long it waits."""
    fake.will_answer("AuditSale", *[admin.AuditSaleResponse()] * 2)

    async with Client(fake.address, retry=RetryPolicy(overall_s=30, ledger_attempt_s=20)) as client:
        await client.audit_sale("lamps")
        await client.with_options(timeout_s=60).audit_sale("lamps")

    usual_s, chosen_s = fake.deadlines_s
    assert 280 < usual_s < 291
    assert 50 < chosen_s < 61


async def test_a_rejected_change_is_an_answer(fake: FakeInventory) -> None:
    """As of reserve: nothing is raised."""
    limited = Rejection(reason=RejectionReason.REJECTION_REASON_ITEM_LIMIT, limited_sku="lamp")
    fake.will_answer("ChangeReservation", calls.ChangeReservationResponse(rejection=limited))

    async with Client(fake.address, retry=PATIENT) as client:
        assert (await client.change(*IDS, {"lamp": 9})).rejection == limited


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.extend(*IDS),
        lambda client: client.extend(*IDS, MINUTE, by=MINUTE),
        lambda client: client.return_(*IDS, "broken", lines={}),
        lambda client: client.adjust_stock("lamps", "lamp", "a-1", "found"),
        lambda client: client.adjust_stock("lamps", "lamp", "a-1", "found", delta=1, new_total=1),
        lambda client: client.create_sale("lamps", {"lamp": 1}, item_limits={"shade": 1}),
        lambda client: client.update_sale("lamps", state="open"),
        lambda client: client.create_sale("lamps", {"lamp": 1}, titel="Lamps"),
    ],
)
async def test_arguments_that_contradict_each_other_are_sent_nowhere(call: Callable[[Any], Awaitable[Any]]) -> None:
    """An empty list of lines would return everything, and a misspelt setting would be ignored."""
    async with Client("127.0.0.1:1") as client:
        with pytest.raises((TypeError, ValueError)):
            await call(client)
