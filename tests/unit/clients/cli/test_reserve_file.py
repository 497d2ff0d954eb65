"""`holdfast reserve --file`: what is read, how it is sent, and what each result and all of them come to."""

import asyncio
import io
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from holdfast.cli import reserve_many
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.inventory_service_pb2 import (
    BatchReserveRequest,
    BatchReserveResponse,
    ReserveRequest,
    ReserveResponse,
    ReserveResult,
)
from holdfast.inventory.v1.reservation_pb2 import (
    Line,
    Rejection,
    RejectionReason,
    Reservation,
    ReservationLine,
    ReservationState,
)
from rich.console import Console

from tests.unit.clients.cli.command import TOO_LONG_S, interrupting_once, run, run_with, text_of, written
from tests.unit.clients.fake_inventory import FakeInventory, error_status
from tests.waiting import eventually

ONE = ReserveRequest(
    sale_id="lamps",
    reservation_id="r-1",
    buyer_id="ada",
    lines=[Line(sku="lamp", quantity=2), Line(sku="shade", quantity=1)],
    hold_ttl=timedelta(minutes=10),
    reference="cart-7",
)
TWO = ReserveRequest(sale_id="bulbs", reservation_id="r-2", buyer_id="bob", lines=[Line(sku="bulb", quantity=1)])
THREE = ReserveRequest(sale_id="lamps", reservation_id="r-3", buyer_id="cleo", lines=[Line(sku="lamp", quantity=1)])
CSV = """sale_id,reservation_id,buyer_id,lines,hold_ttl,reference
,r-1,ada,lamp=2 shade=1,10m,cart-7

bulbs,r-2,bob,bulb=1,,
"""
JSON_LINES = """
{"reservation_id": "r-1", "buyer_id": "ada", "lines": [{"sku": "lamp", "quantity": 2}, {"sku": "shade", "quantity": "1"}], "hold_ttl": "600s", "reference": "cart-7"}
{"saleId": "bulbs", "reservationId": "r-2", "buyerId": "bob", "lines": [{"sku": "bulb", "quantity": 1}]}
"""  # noqa: E501  a request is one line
SOLD_OUT = ReserveResponse(rejection=Rejection(reason=RejectionReason.REJECTION_REASON_SOLD_OUT))


def held(request: ReserveRequest, *, replayed: bool = False) -> ReserveResponse:
    """The request, granted."""
    reservation = Reservation(
        sale_id=request.sale_id,
        reservation_id=request.reservation_id,
        lines=[ReservationLine(sku=line.sku, quantity=line.quantity) for line in request.lines],
        state=ReservationState.RESERVATION_STATE_HELD,
    )
    return ReserveResponse(reservation=reservation, replayed=replayed)


def failed(code: grpc.StatusCode, reason: int, **metadata: str) -> ReserveResult:
    """A request that could not be judged."""
    status = Status(code=code.value[0], message="The sentence of the server.")
    info = ErrorInfo(reason=ErrorReason.Name(reason), domain="holdfast.inventory", metadata=metadata)
    status.details.add().Pack(info)
    return ReserveResult(status=status)


def answering(*results: ReserveResponse | ReserveResult) -> BatchReserveResponse:
    """The answer to a batch."""
    return BatchReserveResponse(
        results=[one if isinstance(one, ReserveResult) else ReserveResult(response=one) for one in results]
    )


def grant(request: BatchReserveRequest) -> BatchReserveResponse:
    """All of them."""
    return answering(*map(held, request.requests))


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str | bytes], str]:
    """Writes a file and returns where it is."""

    def write(content: str | bytes) -> str:
        path = tmp_path / "orders"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


@pytest.mark.parametrize(
    "content", [CSV, JSON_LINES, "\ufeff" + CSV.replace("\n", "\r\n")], ids=["csv", "json", "excel"]
)
def test_each_line_is_a_request_and_a_result(fake: FakeInventory, file: Callable[[str], str], content: str) -> None:
    """CSV and JSON say the same; a line that names no sale is of the sale that was typed."""
    fake.will_answer("BatchReserve", answering(held(ONE), held(TWO, replayed=True)))

    done = run(fake, "reserve", "lamps", "--file", file(content))

    assert fake.asked == [BatchReserveRequest(requests=[ONE, TWO])]
    assert done.stdout.splitlines() == [
        "held       r-1  sale lamps, buyer ada: 2 lamp; 1 shade",
        "held       r-2  sale bulbs, buyer bob: 1 bulb (a repeat)",
    ]
    assert (done.stderr, done.exit_code) == ("2 requests: 2 held\n", 0)


def test_standard_input_is_a_file_too(fake: FakeInventory) -> None:
    """The requests of another program need no file of their own."""
    fake.will_answer("BatchReserve", grant)

    done = run(fake, "reserve", "lamps", "--file", "-", typed=CSV)

    assert fake.asked == [BatchReserveRequest(requests=[ONE, TWO])]
    assert done.exit_code == 0


NOT_FOUND = failed(grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_SALE_NOT_FOUND)
BAD = failed(grpc.StatusCode.PERMISSION_DENIED, ErrorReason.ERROR_REASON_SCOPE_MISSING)
UNKNOWN = ReserveResult(status=Status(code=grpc.StatusCode.INTERNAL.value[0]))
UNKNOWN_FOR_LONG = ReserveResult(status=UNKNOWN.status)
UNKNOWN_FOR_LONG.status.details.add().Pack(RetryInfo(retry_delay=timedelta(seconds=TOO_LONG_S)))


@pytest.mark.parametrize(
    ("second", "line", "summary", "exit_code"),
    [
        (SOLD_OUT, "sold out   r-2  sale bulbs, buyer bob", "2 held, 1 sold out", 1),
        (NOT_FOUND, "failed     sale bulbs: does not exist [SALE_NOT_FOUND]", "2 held, 1 failed", 1),
        (
            BAD,
            "failed     reservation r-2 of sale bulbs: The sentence of the server. [SCOPE_MISSING]",
            "2 held, 1 failed",
            2,
        ),
        (
            UNKNOWN,
            "unknown    reservation r-2 of sale bulbs: it is unknown whether this was done; repeat it with the same ids"
            " () [INTERNAL]",
            "2 held, 1 unknown",
            3,
        ),
    ],
)
def test_the_exit_code_is_that_of_the_worst_result(
    fake: FakeInventory, file: Callable[[str], str], second: Any, line: str, summary: str, exit_code: int
) -> None:
    """One code for a script to look at; each line says for itself."""
    fake.will_answer("BatchReserve", answering(held(ONE), second, held(THREE)), answering(UNKNOWN_FOR_LONG))

    done = run(fake, "reserve", "lamps", "--file", file(f"{CSV},r-3,cleo,lamp=1,,\n"))

    is_repeated = second is UNKNOWN  # and of what could be judged nothing is
    assert fake.asked[1:] == [BatchReserveRequest(requests=[TWO])] * is_repeated

    assert done.stdout.splitlines()[1] == line
    assert done.stderr == f"3 requests: {summary}\n"
    assert done.exit_code == exit_code


@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_results_as_json_are_an_object_a_line(fake: FakeInventory, file: Callable[[str], str], form: str) -> None:
    """Each with the line of the file and the ids; either form is one object a line, for there are many."""
    fake.will_answer("BatchReserve", answering(SOLD_OUT, NOT_FOUND))

    done = run(fake, "reserve", "lamps", "--file", file(CSV), form)

    sold_out, not_found = map(json.loads, done.stdout.splitlines())
    assert (sold_out["line"], sold_out["sale_id"], sold_out["reservation_id"]) == (2, "lamps", "r-1")
    assert sold_out["response"]["rejection"]["reason"] == "REJECTION_REASON_SOLD_OUT"
    assert (not_found["line"], not_found["reservation_id"]) == (4, "r-2")
    assert not_found["error"]["reason"] == "ERROR_REASON_SALE_NOT_FOUND"


def test_many_requests_are_sent_in_batches(
    fake: FakeInventory, file: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, and the results stay in the order of the file."""
    monkeypatch.setattr(reserve_many, "BATCH", 2)
    fake.will_answer("BatchReserve", grant, grant, grant)

    done = run(fake, "reserve", "lamps", "--file", file(orders(5)))

    assert [len(asked.requests) for asked in fake.asked] == [2, 2, 1]
    assert [line.split()[1] for line in done.stdout.splitlines()] == [f"r-{number}" for number in range(5)]


def test_a_server_that_cannot_answer_is_not_asked_for_the_rest(
    fake: FakeInventory, file: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand batches would each wait in vain; the summary says how many have none."""
    monkeypatch.setattr(reserve_many, "BATCH", 2)
    away = error_status(grpc.StatusCode.PERMISSION_DENIED, ErrorReason.ERROR_REASON_SCOPE_MISSING)
    fake.will_answer("BatchReserve", grant, away)

    done = run(fake, "reserve", "lamps", "--file", file(orders(6)))

    assert len(fake.asked) == 2
    assert done.stderr == "6 requests: 2 held, 2 failed, 2 without an answer\n"
    assert done.exit_code == 2


def test_progress_is_shown_on_a_terminal(
    fake: FakeInventory, file: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On standard error, and each time taken back before anything else is written there."""
    errors = Console(file=io.StringIO(), force_terminal=True, color_system=None, soft_wrap=True)
    monkeypatch.setattr(reserve_many, "messages", errors)
    monkeypatch.setattr(reserve_many, "BATCH", 2)
    fake.will_answer("BatchReserve", grant, grant)

    run(fake, "reserve", "lamps", "--file", file(orders(4)))

    assert isinstance(errors.file, io.StringIO)
    steps = errors.file.getvalue().replace("\x1b[2K\r", "<")
    assert steps == "0 of 4<2 of 4<<4 requests: 4 held\n"


def test_an_interrupted_file_says_how_far_it_came(fake: FakeInventory, file: Callable[[str], str]) -> None:
    """What was answered is printed; the rest is unknown, and a second run tells."""
    hangs = threading.Event()
    fake.will_answer("BatchReserve", grant, hangs)

    stdout, stderr = written(), written()
    words = ("reserve", "lamps", "--file", file(orders(201)), "--json")
    with interrupting_once(lambda: asyncio.run(eventually(lambda: len(fake.asked) == 2))):
        code = run_with(fake, *words, stdout=stdout, stderr=stderr)
    hangs.set()

    *results, failure = map(json.loads, text_of(stdout).splitlines())
    assert len(results) == 200
    assert failure["error"]["code"] == "CANCELLED"
    summary, line = text_of(stderr).splitlines()
    assert summary == "201 requests: 200 held, 1 without an answer"
    assert "200 requests were answered" in line
    assert "run it again with the same file" in line
    assert code == 3


def orders(count: int) -> str:
    """So many requests as CSV."""
    return "reservation_id,buyer_id,lines\n" + "".join(f"r-{number},ada,lamp=1\n" for number in range(count))


A_LINE = '{"sale_id": "lamps", "reservation_id": "r-1", "buyer_id": "ada", "lines": [{"sku": "lamp", "quantity": 1}]}'
HEAD = "sale_id,reservation_id,buyer_id,lines\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", ": has no requests"),
        (HEAD, ": has no requests"),
        (HEAD + "lamps,r-1,ada,lamp=1\nlamps,,ada,\n", ", line 3: has no reservation_id and no lines"),
        ("reservation_id,buyer_id,lines\nr-1,ada,lamp=1\n", ", line 2: has no sale_id"),
        (HEAD + "lamps,r-1,ada,lamp\n", ", line 2: 'lamp' names no units; write it as SKU=UNITS"),
        (HEAD + "lamps,r-1,ada,lamp=1,10m\n", ", line 2: has more cells than there are columns"),
        (
            HEAD.replace("lines", "sku"),
            ": the CSV is malformed: it has a column 'sku'; its first line names columns of sale_id,",
        ),
        (HEAD + 'lamps,"r-1,ada,lamp=1\n', ": the CSV is malformed: unexpected end of data"),
        ('{"sale_id": "lamps"', ", line 1: Expecting ',' delimiter"),
        (f"{A_LINE}\n[1]", ", line 2: is no JSON object"),
        (
            '{"sale": "lamps"}',
            ', line 1: Message type "holdfast.inventory.v1.ReserveRequest" has no field named "sale"',
        ),
        ('[{"sale_id": "lamps"}]', ": is a JSON array; write an object a line"),
        (b"sale_id\xff", ": is not UTF-8 at byte 7"),
    ],
)
def test_a_file_that_cannot_be_read_whole_sends_nothing(
    fake: FakeInventory, file: Callable[[str | bytes], str], content: str | bytes, why: str
) -> None:
    """A typing error in the last line must not leave all but one reserved."""
    refused = run(fake, "reserve", "--file", file(content))

    [line] = refused.stderr.splitlines()
    assert why in line
    assert refused.exit_code == 2
    assert not fake.asked


def test_a_file_that_is_not_there_is_named(fake: FakeInventory) -> None:
    """In one line."""
    assert run(fake, "reserve", "--file", "nowhere").stderr == "holdfast: nowhere: No such file or directory\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("lamps", "--buyer", "ada", "--id", "r-1"), "--file says it for each request: leave --buyer, --id out"),
        (("lamps", "--line", "lamp=1"), "--file says it for each request: leave --line out"),
    ],
)
def test_what_a_file_says_is_not_typed_too(
    fake: FakeInventory, file: Callable[[str], str], words: tuple[str, ...], why: str
) -> None:
    """An id or a buyer for all of them would be a mistake."""
    assert why in run(fake, "reserve", *words, "--file", file(CSV)).stderr
    assert not fake.asked
