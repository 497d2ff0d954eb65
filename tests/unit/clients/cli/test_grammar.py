"""Each command of `holdfast` that changes something: what it sends, what it shows, and when it asks first."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from holdfast.cli import ask_first
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import (
    Line,
    Position,
    Rejection,
    RejectionReason,
    Reservation,
    ReservationLine,
    ReservationState,
)
from holdfast.inventory.v1.sale_pb2 import Adjustment, Item, Sale

from tests.unit.clients.cli.command import HELD, NOON, SALE, run
from tests.unit.clients.fake_inventory import FakeInventory

IDS = ("lamps", "r-1")
NAMED: dict[str, Any] = {"sale_id": "lamps", "reservation_id": "r-1"}
TWO_LAMPS = [Line(sku="lamp", quantity=2)]
RETURNED = Reservation(
    lines=[
        ReservationLine(sku="lamp", quantity=3, confirmed_quantity=2, returned_quantity=1),
        ReservationLine(sku="shade", quantity=1),
    ],
    state=ReservationState.RESERVATION_STATE_CONFIRMED,
)
ADJUSTED = admin.AdjustStockResponse(
    adjustment=Adjustment(adjustment_id="a-1", sale_id="lamps", sku="lamp", delta=-5, total_after=4995),
    item=Item(sku="lamp", total=5000, available=4998),
)
REMOVE = ("--by", "-5", "--reason", "lost")


@pytest.mark.parametrize(
    ("words", "sent", "response", "shown"),
    [
        (
            ("confirm", *IDS, "--line", "lamp=2", "--revision", "1"),
            calls.ConfirmReservationRequest(
                **NAMED, partial=calls.PartialConfirm(lines=TWO_LAMPS), expected_revision=1
            ),
            calls.ConfirmReservationResponse(reservation=RETURNED),
            "  3 lamp, 2 sold, 1 back\n  1 shade, 0 sold\n",
        ),
        (
            ("reservation", "confirm", *IDS),
            calls.ConfirmReservationRequest(**NAMED),
            calls.ConfirmReservationResponse(reservation=HELD),
            "2 lamp",
        ),
        (
            ("reservation", "release", *IDS, "--reason", "too late", "--revision", "2"),
            calls.ReleaseReservationRequest(**NAMED, reason="too late", expected_revision=2),
            calls.ReleaseReservationResponse(reservation=HELD, replayed=True),
            "a repeat",
        ),
        (
            ("reservation", "extend", *IDS, "--hold", "20m"),
            calls.ExtendReservationRequest(**NAMED, hold_ttl=timedelta(minutes=20)),
            calls.ExtendReservationResponse(reservation=HELD, read_time=NOON),
            "10 min from now",
        ),
        (
            ("reservation", "change", *IDS, "--line", "lamp=2"),
            calls.ChangeReservationRequest(**NAMED, lines=TWO_LAMPS),
            calls.ChangeReservationResponse(reservation=HELD, read_time=NOON),
            "held  r-1",
        ),
        (
            ("reservation", "return", *IDS, "--reason", "broken", "--line", "lamp=2", "--discard"),
            calls.ReturnReservationRequest(**NAMED, reason="broken", lines=TWO_LAMPS, discard=True),
            calls.ReturnReservationResponse(reservation=RETURNED),
            "  3 lamp, 2 sold, 1 back",
        ),
        (
            ("sale", "create", "lamps", "--item", "lamp=9", "--item-limit", "lamp=1", "--attempts", "30"),
            admin.CreateSaleRequest(
                sale=Sale(sale_id="lamps", attempts_per_minute=30, items=[Item(sku="lamp", total=9, buyer_limit=1)])
            ),
            admin.CreateSaleResponse(
                sale=Sale(attempts_per_minute=30, items=[Item(sku="lamp", total=9, buyer_limit=1)])
            ),
            "at most 1 lamp a buyer, at most 30 attempts a minute",
        ),
        (
            ("sale", "update", "lamps", "--title", "", "--limit", "0", "--return-window", "14d", "--unset", "end"),
            admin.UpdateSaleRequest(
                sale=Sale(sale_id="lamps", return_window=timedelta(days=14)),
                update_mask=FieldMask(paths=["title", "buyer_limit", "return_window", "end_time"]),
            ),
            admin.UpdateSaleResponse(
                sale=Sale(
                    hold_ttl=timedelta(minutes=10),
                    max_hold_ttl=timedelta(hours=1),
                    return_window=timedelta(days=14),
                    close_time=NOON,
                )
            ),
            "); holds last 10 min, at most 1 h; no limit a buyer\n  sold units come back until 14 d after its end",
        ),
        (
            ("sale", "update", "lamps", "--item", "bulb=5", "--etag", "e-1"),
            admin.UpdateSaleRequest(
                sale=Sale(sale_id="lamps", etag="e-1", items=[Item(sku="bulb", total=5)]),
                update_mask=FieldMask(paths=["items"]),
            ),
            admin.UpdateSaleResponse(sale=Sale(sale_id="lamps", etag="e-2")),
            "etag e-2",
        ),
        (
            ("sale", "pause", "lamps", "--reason", "wrong price", "--etag", "e-1"),
            admin.PauseSaleRequest(sale_id="lamps", reason="wrong price", etag="e-1"),
            admin.PauseSaleResponse(sale=Sale(sale_id="lamps", paused=True)),
            "paused: it sells only after it is resumed",
        ),
        (
            ("sale", "resume", "lamps", "--reason", "right price"),
            admin.ResumeSaleRequest(sale_id="lamps", reason="right price"),
            admin.ResumeSaleResponse(sale=SALE, replayed=True),
            "a repeat: it was so before this call",
        ),
        (
            ("sale", "close", "lamps", "--release-holds", "--yes"),
            admin.CloseSaleRequest(sale_id="lamps", release_holds=True),
            admin.CloseSaleResponse(sale=SALE),
            "open  lamps",
        ),
        (
            ("stock", "adjust", "lamps", "lamp", *REMOVE, "--id", "a-1", "--expect", "0", "--reference", "note 7"),
            admin.AdjustStockRequest(
                sale_id="lamps",
                sku="lamp",
                adjustment_id="a-1",
                delta=-5,
                expected_total=0,
                reason="lost",
                reference="note 7",
            ),
            ADJUSTED,
            "adjusted  a-1  item lamp of sale lamps: -5",
        ),
        (
            ("stock", "adjust", "lamps", "lamp", "--to", "0", "--reason", "lost", "--id", "a-1"),
            admin.AdjustStockRequest(sale_id="lamps", sku="lamp", adjustment_id="a-1", new_total=0, reason="lost"),
            ADJUSTED,
            "4,995 on sale then; now 5,000, of which 4,998 are available",
        ),
        (
            ("buyer", "block", "ada", "--reason", "a bot", "--yes"),
            admin.BlockBuyerRequest(buyer_id="ada", reason="a bot"),
            admin.BlockBuyerResponse(replayed=True),
            "the first reason stays",
        ),
        (
            ("sale", "audit", "lamps"),
            admin.AuditSaleRequest(sale_id="lamps"),
            admin.AuditSaleResponse(
                consistent=True,
                items_compared=1,
                reservations_compared=1200,
                as_of=Position(shard=3, epoch=1, seq=57),
            ),
            "consistent  sale lamps  1 items and 1,200 reservations compared\n  as of commit 1-57 of shard 3\n",
        ),
        (
            ("dead-letter", "replay", "3-1-7-2", "--id", "r-9", "--yes"),
            admin.ReplayDeadLetterRequest(dead_letter_id="3-1-7-2", reservation_id="r-9"),
            admin.ReplayDeadLetterResponse(
                outcome=calls.ReserveResponse(reservation=HELD, read_time=NOON),
                dead_letter=admin.DeadLetter(
                    dead_letter_id="3-1-7-2",
                    state=admin.DeadLetterState.DEAD_LETTER_STATE_REPLAYED,
                    replayed_as="r-9",
                ),
            ),
            "  dead letter 3-1-7-2: replayed as r-9\n",
        ),
        (
            ("buyer", "unblock", "ada"),
            admin.UnblockBuyerRequest(buyer_id="ada"),
            admin.UnblockBuyerResponse(),
            "not blocked  ada",
        ),
        (
            ("token", "revoke", "t-1", "--reason", "stolen", "--yes"),
            admin.RevokeTokensRequest(jti="t-1", reason="stolen"),
            admin.RevokeTokensResponse(recorded=True, replayed=True),
            "revoked  token t-1\n  a repeat",
        ),
        (
            ("token", "revoke", "--subject", "ada", "--issued-before", NOON.isoformat(), "--reason", "left", "--yes"),
            admin.RevokeTokensRequest(
                subject_tokens=admin.SubjectTokens(subject="ada", issued_before=NOON), reason="left"
            ),
            admin.RevokeTokensResponse(),
            "revoked  tokens of ada\n  not in the ledger yet",
        ),
    ],
    ids=lambda words: " ".join(words[:2]) if isinstance(words, tuple) else "",
)
def test_a_command_sends_what_was_typed_and_shows_the_answer(
    fake: FakeInventory, words: Sequence[str], sent: Message, response: Message, shown: str
) -> None:
    """What is not typed stays unset."""
    fake.will_answer(type(sent).__name__.removesuffix("Request"), response)

    done = run(fake, *words)

    assert done.exit_code == 0, done.stderr
    assert fake.asked == [sent]
    assert shown in done.stdout


def test_extend_by_asks_for_the_life_from_the_creation_on(fake: FakeInventory) -> None:
    """The reservation is read first, so that a repeat of the call extends no further."""
    read_time = NOON + timedelta(minutes=1)
    fake.will_answer("GetReservation", calls.GetReservationResponse(reservation=HELD, read_time=read_time))
    fake.will_answer("ExtendReservation", calls.ExtendReservationResponse(reservation=HELD))

    assert run(fake, "reservation", "extend", *IDS, "--by", "10m").exit_code == 0

    assert fake.asked[1].hold_ttl.ToTimedelta() == timedelta(minutes=11)


def test_a_change_that_is_rejected_is_exit_code_1(fake: FakeInventory) -> None:
    """As of reserve; the item whose limit it is has its name."""
    limited = Rejection(reason=RejectionReason.REJECTION_REASON_ITEM_LIMIT, limited_sku="lamp", buyer_remaining=1)
    fake.will_answer("ChangeReservation", calls.ChangeReservationResponse(rejection=limited))

    done = run(fake, "reservation", "change", *IDS, "--line", "lamp=9")

    assert done.exit_code == 1
    assert "the buyer may still take 1 of lamp" in done.stdout


def test_an_audit_that_finds_differences_is_exit_code_1(fake: FakeInventory) -> None:
    """As that of `holdfast audit`; each difference is a row, and that there are more is said."""
    found = [admin.AuditDifference(subject="item lamp held", redis_value="2", ledger_value="3")]
    fake.will_answer("AuditSale", admin.AuditSaleResponse(differences=found, truncated=True))

    done = run(fake, "sale", "audit", "lamps")

    assert done.exit_code == 1
    first, _, head, row, more = (line.split() for line in done.stdout.splitlines())
    assert first[0] == "inconsistent"
    assert (head, row, more) == (["what", "Redis", "ledger"], ["item", "lamp", "held", "2", "3"], ["and", "more"])


def test_a_replay_that_is_rejected_is_exit_code_1(fake: FakeInventory) -> None:
    """And names the id that was made up, which is spent by that."""
    outcome = calls.ReserveResponse(rejection=Rejection(reason=RejectionReason.REJECTION_REASON_SOLD_OUT))
    letter = admin.DeadLetter(dead_letter_id="3-1-7-2", state=admin.DeadLetterState.DEAD_LETTER_STATE_SETTLED)
    fake.will_answer("ReplayDeadLetter", admin.ReplayDeadLetterResponse(outcome=outcome, dead_letter=letter))

    done = run(fake, "dead-letter", "replay", "3-1-7-2", "--yes")

    assert done.exit_code == 1
    assert done.stdout == "sold out\n  dead letter 3-1-7-2: settled\n"
    assert f"--id {fake.asked[0].reservation_id}" in done.stderr


def test_an_adjustment_id_is_made_up_and_printed_before_the_call(fake: FakeInventory) -> None:
    """As a reservation's, for the same reason."""
    fake.will_answer("AdjustStock", ADJUSTED)

    done = run(fake, "stock", "adjust", "lamps", "lamp", *REMOVE)

    assert f"--id {fake.asked[0].adjustment_id}" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("stock", "adjust", "lamps", "lamp", "--reason", "lost"),
        ("stock", "adjust", "lamps", "lamp", "--reason", "lost", "--by", "1", "--to", "1"),
        ("reservation", "extend", *IDS),
        ("reservation", "extend", *IDS, "--hold", "1m", "--by", "1m"),
        ("reservation", "change", *IDS),
        ("reservation", "return", *IDS),
        ("sale", "update", "lamps"),
        ("sale", "update", "lamps", "--end", "+1h", "--unset", "end"),
        ("sale", "update", "lamps", "--unset", "state"),
        ("sale", "create", "lamps", "--item", "lamp=1", "--item-limit", "shade=1"),
        ("buyer", "block", "ada", "--yes"),
        ("sale", "close", "lamps"),
        ("buyer", "block", "ada", "--reason", "a bot"),
        ("token", "revoke", "--reason", "stolen", "--yes"),
        ("token", "revoke", "t-1", "--subject", "ada", "--reason", "stolen", "--yes"),
        ("token", "revoke", "t-1", "--issued-before", "2026-11-27T10:00", "--reason", "stolen", "--yes"),
        ("token", "revoke", "t-1", "--yes"),
        ("dead-letter", "replay", "3-1-7-2"),
        ("token", "revoke", "t-1", "--reason", "stolen"),
    ],
    ids=" ".join,
)
def test_a_command_that_is_incomplete_or_not_confirmed_sends_nothing(
    fake: FakeInventory, words: tuple[str, ...]
) -> None:
    """One line and exit code 2. The last three ask on a terminal, and without one they need --yes."""
    failed = run(fake, *words)

    [line] = failed.stderr.splitlines()
    assert line.startswith("holdfast: ")
    assert failed.exit_code == 2
    assert not fake.asked


@pytest.mark.parametrize(("typed", "exit_code"), [("y\n", 0), ("yes\n", 0), ("n\n", 2), ("\n", 2), ("", 2)])
def test_what_cannot_be_taken_back_is_asked_on_a_terminal(
    fake: FakeInventory, monkeypatch: pytest.MonkeyPatch, typed: str, exit_code: int
) -> None:
    """The question is on standard error, so that JSON stays JSON; no answer is a no."""
    monkeypatch.setattr(ask_first, "is_terminal", lambda: True)
    fake.will_answer("CloseSale", admin.CloseSaleResponse(sale=SALE))

    done = run(fake, "sale", "close", "lamps", "--release-holds", typed=typed)

    assert "Close sale lamps for good, and release all its holds?" in done.stderr
    assert done.exit_code == exit_code
    assert len(fake.asked) == (exit_code == 0)


def test_a_moment_from_now_is_printed_as_the_moment_to_repeat_with(fake: FakeInventory) -> None:
    """A repeat with `+10m` would name another moment, and so another sale."""
    fake.will_answer("CreateSale", *[admin.CreateSaleResponse(sale=SALE)] * 2)
    create = ("sale", "create", "lamps", "--item", "lamp=1")

    first = run(fake, *create, "--start", "+10m", "--end", "+1h30m")
    repeat = first.stderr.split("repeat with ")[1].split()
    again = run(fake, *create, *repeat)

    once, twice = fake.asked
    assert [repeat[0], repeat[2]] == ["--start", "--end"]
    assert once == twice
    assert once.sale.start_time.ToDatetime(UTC) > datetime.now(UTC)
    assert "repeat with" not in again.stderr
