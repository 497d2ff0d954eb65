"""Each list of the `holdfast` command: what it asks for, how far it reads, and what it prints."""

import json
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.reservation_pb2 import CompensationReason, Line, Reservation, ReservationState
from holdfast.inventory.v1.sale_pb2 import Adjustment, Sale, SaleState

from tests.unit.clients.cli.command import HELD, NOON, TOO_LONG_S, run
from tests.unit.clients.fake_inventory import FakeInventory, error_status, unavailable

OF_ADA = ("reservation", "list", "--buyer", "ada")
LETTER = admin.DeadLetter(
    dead_letter_id="3-1-7-2",
    sale_id="lamps",
    reservation_id="r-1",
    buyer_id="ada",
    lines=[Line(sku="lamp", quantity=2)],
    reason=CompensationReason.COMPENSATION_REASON_BUYER_BLOCKED,
    create_time=NOON,
    state=admin.DeadLetterState.DEAD_LETTER_STATE_REPLAYED,
    replayed_as="r-2",
    reservation_state=ReservationState.RESERVATION_STATE_COMPENSATED,
)


def reservations(*ids: str, **fields: Any) -> calls.ListReservationsResponse:
    """A page of reservations."""
    found = [Reservation(reservation_id=name, state=HELD.state, create_time=NOON) for name in ids]
    return calls.ListReservationsResponse(reservations=found, **fields)


@pytest.mark.parametrize(
    ("words", "sent", "response", "row"),
    [
        (
            (*OF_ADA, "--state", "held", "--state", "CONFIRMED", "--reference", "order-7"),
            calls.ListReservationsRequest(
                buyer_id="ada",
                states=[ReservationState.RESERVATION_STATE_HELD, ReservationState.RESERVATION_STATE_CONFIRMED],
                reference="order-7",
                page_size=50,
            ),
            calls.ListReservationsResponse(reservations=[HELD]),
            "held r-1 lamps 2 lamp 2026-11-27 pending",
        ),
        (
            ("reservation", "list", "--sale", "lamps", "--limit", "7"),
            calls.ListReservationsRequest(sale_id="lamps", page_size=7),
            calls.ListReservationsResponse(reservations=[HELD]),
            "held r-1 ada 2 lamp 2026-11-27 pending",
        ),
        (
            ("sale", "list", "--state", "archived"),
            admin.ListSalesRequest(states=[SaleState.SALE_STATE_ARCHIVED], page_size=50),
            admin.ListSalesResponse(
                sales=[Sale(sale_id="lamps", state=SaleState.SALE_STATE_ARCHIVED, start_time=NOON, title="Lamps")]
            ),
            "archived lamps 2026-11-27 Lamps",
        ),
        (
            ("stock", "log", "lamps", "lamp", "--all"),
            admin.ListAdjustmentsRequest(sale_id="lamps", sku="lamp", page_size=1000),
            admin.ListAdjustmentsResponse(
                adjustments=[
                    Adjustment(adjustment_id="a-1", sku="lamp", delta=-5, total_after=4995, reason="lost", actor="ann")
                ]
            ),
            "a-1 -5 4,995 lost ann",
        ),
        (
            ("buyer", "list"),
            admin.ListBlockedBuyersRequest(page_size=50),
            admin.ListBlockedBuyersResponse(
                blocked_buyers=[admin.BlockedBuyer(buyer_id="bot-7", reason="buys all", create_time=NOON)]
            ),
            "bot-7 2026-11-27 buys all",
        ),
        (
            ("dead-letter", "list", "--sale", "lamps", "--state", "settled", "--page-token", "t-1"),
            admin.ListDeadLettersRequest(
                sale_id="lamps",
                states=[admin.DeadLetterState.DEAD_LETTER_STATE_SETTLED],
                page_size=50,
                page_token="t-1",
            ),
            admin.ListDeadLettersResponse(dead_letters=[LETTER]),
            "replayed 3-1-7-2 lamps r-1 ada 2 lamp buyer blocked compensated r-2 2026-11-27",
        ),
    ],
    ids=lambda words: " ".join(words[:2]) if isinstance(words, tuple) else "",
)
def test_a_list_asks_for_what_was_typed_and_prints_a_row_each(
    fake: FakeInventory, words: Sequence[str], sent: Message, response: Message, row: str
) -> None:
    """Below a head; what all rows have in common, because it was asked for, is no column."""
    fake.will_answer(type(sent).__name__.removesuffix("Request"), response)

    done = run(fake, *words)

    assert done.exit_code == 0, done.stderr
    assert fake.asked == [sent]
    head, printed = done.stdout.splitlines()
    assert [word for word in printed.split() if ":" not in word and word != "UTC"] == row.split()
    assert head.split()


def test_no_more_are_read_than_are_wanted(fake: FakeInventory) -> None:
    """A page may be short: the next one is asked for the rest, so that its token goes on where the list ended."""
    fake.will_answer(
        "ListReservations",
        reservations("r-1", "r-2", next_page_token="t-1"),
        reservations(next_page_token="t-2"),
        reservations("r-3", next_page_token="t-3"),
    )

    done = run(fake, *OF_ADA, "--limit", "3")

    assert [(asked.page_size, asked.page_token) for asked in fake.asked] == [(3, ""), (1, "t-1"), (1, "t-2")]
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["reservation", "r-1", "r-2", "r-3"]
    assert "there are more: add --all, or a larger --limit, or go on with --page-token t-3" in done.stderr


@pytest.mark.parametrize("words", [("--all",), ("--limit", "2000")])
def test_all_pages_are_read_up_to_the_last(fake: FakeInventory, words: tuple[str, ...]) -> None:
    """In pages as long as the server makes them, and nothing is said of more."""
    fake.will_answer("ListReservations", reservations("r-1", next_page_token="t-1"), reservations("r-2"))

    done = run(fake, *OF_ADA, *words)

    assert [asked.page_size for asked in fake.asked] == [1000, 1000]
    assert len(done.stdout.splitlines()) == 3
    assert "there are more" not in done.stderr


def test_an_empty_list_says_so_and_how_old_it_is(fake: FakeInventory) -> None:
    """On standard error; what was made a moment ago may be missing, because the ledger does not have it yet."""
    fake.will_answer("ListReservations", reservations(complete_time=NOON))

    done = run(fake, *OF_ADA)

    assert (done.exit_code, done.stdout) == (0, "")
    none, as_of = done.stderr.splitlines()
    assert none == "none"
    assert as_of.startswith("as of the ledger, which has everything before 2026-11-27 ")


def test_a_list_as_json_is_one_response(fake: FakeInventory) -> None:
    """Of all pages that were read; complete is what the first of them was, and the last one's token goes on."""
    later = Timestamp(seconds=int(NOON.timestamp()) + 5)
    fake.will_answer(
        "ListReservations",
        reservations("r-1", next_page_token="t-1", complete_time=NOON),
        reservations("r-2", next_page_token="t-2", complete_time=later),
    )

    found = json.loads(run(fake, *OF_ADA, "--limit", "2", "--json").stdout)

    assert [one["reservation_id"] for one in found["reservations"]] == ["r-1", "r-2"]
    assert found["next_page_token"] == "t-2"
    assert found["complete_time"] == "2026-11-27T12:00:00Z"


def test_a_list_as_json_lines_ends_with_the_failure(fake: FakeInventory) -> None:
    """One object a line, whatever it is, so that a script reads each by itself."""
    fake.will_answer(
        "ListReservations",
        reservations("r-1", "r-2", next_page_token="t-1"),
        unavailable(ErrorReason.ERROR_REASON_LEDGER_UNREACHABLE, TOO_LONG_S),
    )

    done = run(fake, *OF_ADA, "--all", "--jsonl")

    first, second, failure = map(json.loads, done.stdout.splitlines())
    assert (first["reservation_id"], second["reservation_id"]) == ("r-1", "r-2")
    assert failure["error"]["reason"] == "ERROR_REASON_LEDGER_UNREACHABLE"
    assert done.stderr.startswith("holdfast: buyer ada: the server cannot answer now")
    assert done.exit_code == 2


def test_a_failure_that_is_about_nothing_in_particular_is_a_sentence(fake: FakeInventory) -> None:
    """The list of all sales names no id."""
    fake.will_answer("ListSales", unavailable(ErrorReason.ERROR_REASON_LEDGER_UNREACHABLE, TOO_LONG_S))
    not_built = error_status(grpc.StatusCode.UNIMPLEMENTED, ErrorReason.ERROR_REASON_NOT_BUILT)
    fake.will_answer("ListBlockedBuyers", not_built)

    lines = [run(fake, *words).stderr for words in (("sale", "list"), ("buyer", "list"))]

    assert lines == [
        "holdfast: the server cannot answer now, and nothing was done: The sentence of the server."
        " [LEDGER_UNREACHABLE]\n",
        "holdfast: this server does not support this call yet [NOT_BUILT]\n",
    ]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((*OF_ADA, "--state", "hold"), "'hold' is no state; it is one of held, confirmed, released, expired,"),
        (("sale", "list", "--state", "unspecified"), "it is one of scheduled, open, paused, ended, closed, archived"),
        (("dead-letter", "list", "--state", "99"), "it is one of open, settled, replayed"),
        (("reservation", "list"), "give --buyer, --sale or --reference"),
        ((*OF_ADA, "--all", "--limit", "9"), "give either --limit or --all"),
        ((*OF_ADA, "--limit", "0"), "greater than or equal to 1"),
        ((*OF_ADA, "--json", "--jsonl"), "give either --json or --jsonl"),
    ],
)
def test_a_list_that_makes_no_sense_is_never_asked_for(fake: FakeInventory, words: tuple[str, ...], why: str) -> None:
    """One line that says what there is, and exit code 2."""
    failed = run(fake, *words)

    [line] = failed.stderr.splitlines()
    assert why in line
    assert failed.exit_code == 2
    assert not fake.asked
