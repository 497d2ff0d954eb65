"""How the `holdfast` command fails: a line that names what it is about, a JSON object if asked for, an exit code."""

import asyncio
import json
import socket
import threading

import grpc
import pytest
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.inventory_service_pb2 import ConfirmReservationResponse, ReserveResponse

from tests.unit.clients.cli.command import (
    RESERVE,
    TOO_LONG_S,
    interrupting_once,
    invoke,
    run,
    run_with,
    text_of,
    written,
)
from tests.unit.clients.fake_inventory import ErrorStatus, FakeInventory, bad_fields, error_status, unavailable
from tests.waiting import eventually

CREATE = ("sale", "create", "lamps", "--item")
CONFIRM, RELEASE, SHOW = ("confirm", "lamps", "r-1"), ("release", "lamps", "r-1"), ("sale", "show", "lamps")
BLOCK = ("buyer", "block", "ada", "--reason", "a bot", "--yes")
ADJUST = ("stock", "adjust", "lamps", "lamp", "--by", "-5", "--reason", "lost", "--id", "a-1")
REPLAY = ("dead-letter", "replay", "3-1-7-2", "--id", "r-9", "--yes")
C = grpc.StatusCode
R1, SAYS = "reservation r-1 of sale lamps", "The sentence of the server."


def test_an_unforeseen_error_is_unknown_with_exit_code_3(fake: FakeInventory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own exit code 1 means that the answer is no; and the call may have been done."""

    def fail(response: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("holdfast.cli.ask.print_json", fail)
    fake.will_answer("ConfirmReservation", ConfirmReservationResponse())

    failed = run(fake, *CONFIRM, "--json")

    assert "it is unknown whether this was done" in json.loads(failed.stdout)["error"]["message"]
    assert "KeyError: 'a bug'" in failed.stderr
    assert failed.exit_code == 3


def test_an_attempt_leaves_time_for_a_repeat(fake: FakeInventory) -> None:
    """Of several servers one may be halted: the others are asked within the time that was given."""
    fake.will_answer("Reserve", ErrorStatus(C.UNAVAILABLE), ReserveResponse())
    fake.will_answer("ConfirmReservation", ConfirmReservationResponse())

    run(fake, *RESERVE, "--timeout", "8")
    run(fake, *CONFIRM, "--timeout", "8")

    *reserve_s, confirm_s = fake.deadlines_s
    assert len(reserve_s) == 2
    assert max(reserve_s) < 3 < confirm_s < 5


@pytest.mark.parametrize(
    ("words", "method", "status", "line", "exit_code"),
    [
        (
            SHOW,
            "GetSale",
            error_status(C.NOT_FOUND, ErrorReason.ERROR_REASON_SALE_NOT_FOUND, sale_id="lamps"),
            "sale lamps: does not exist [SALE_NOT_FOUND]",
            1,
        ),
        (
            RESERVE,
            "Reserve",
            error_status(C.NOT_FOUND, ErrorReason.ERROR_REASON_ITEM_NOT_FOUND, sale_id="lamps", sku="lamp"),
            "sale lamps: has no item lamp [ITEM_NOT_FOUND]",
            1,
        ),
        (
            ("get", "lamps", "r-1"),
            "GetReservation",
            error_status(C.NOT_FOUND, ErrorReason.ERROR_REASON_RESERVATION_NOT_FOUND),
            "reservation r-1 of sale lamps: does not exist [RESERVATION_NOT_FOUND]",
            1,
        ),
        (
            ("get", "lamps", "r-1"),
            "GetReservation",
            error_status(C.NOT_FOUND, ErrorReason.ERROR_REASON_RESERVATION_NOT_FOUND, lost="2-77 of shard 3"),
            f"{R1}: was made, and is lost with commit 2-77 of shard 3 [RESERVATION_NOT_FOUND]",
            1,
        ),
        (
            CONFIRM,
            "ConfirmReservation",
            error_status(
                C.FAILED_PRECONDITION,
                ErrorReason.ERROR_REASON_WRONG_RESERVATION_STATE,
                state="RESERVATION_STATE_EXPIRED",
            ),
            "reservation r-1 of sale lamps: is expired, which does not allow this [WRONG_RESERVATION_STATE]",
            1,
        ),
        (
            (*CREATE, "lamp=1"),
            "CreateSale",
            error_status(C.ALREADY_EXISTS, ErrorReason.ERROR_REASON_SALE_ID_REUSED, sale_id="lamps"),
            "sale lamps: the id was used before with other settings, or by an archived sale; choose a new id"
            " [SALE_ID_REUSED]",
            1,
        ),
        (
            (*CONFIRM, "--line", "lamp=3"),
            "ConfirmReservation",
            error_status(
                C.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_MORE_THAN_HELD, sku="lamp", held="2", asked="3"
            ),
            f"{R1}: holds 2 lamp, not 3 [MORE_THAN_HELD]",
            1,
        ),
        (
            CONFIRM,
            "ConfirmReservation",
            error_status(
                C.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_CONFIRMED_OTHERWISE, sku="lamp", sold="1", asked="2"
            ),
            f"{R1}: was confirmed before with 1 lamp, not 2 [CONFIRMED_OTHERWISE]",
            1,
        ),
        (
            (*RELEASE, "--revision", "2"),
            "ReleaseReservation",
            error_status(C.ABORTED, ErrorReason.ERROR_REASON_REVISION_MISMATCH, revision="3"),
            f"{R1}: has changed, and its revision is 3 [REVISION_MISMATCH]",
            1,
        ),
        (
            ADJUST,
            "AdjustStock",
            error_status(C.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_STOCK_IN_USE, sku="lamp", held="3", sold="4"),
            "item lamp of sale lamps: 3 are held and 4 sold, and so many must remain [STOCK_IN_USE]",
            1,
        ),
        (
            ADJUST,
            "AdjustStock",
            error_status(C.ALREADY_EXISTS, ErrorReason.ERROR_REASON_ADJUSTMENT_ID_REUSED, adjustment_id="a-1"),
            "adjustment a-1 of item lamp of sale lamps: the id was used before for another change; choose a new id"
            " [ADJUSTMENT_ID_REUSED]",
            1,
        ),
        (
            REPLAY,
            "ReplayDeadLetter",
            error_status(
                C.FAILED_PRECONDITION,
                ErrorReason.ERROR_REASON_WRONG_DEAD_LETTER_STATE,
                dead_letter_id="3-1-7-2",
                state="DEAD_LETTER_STATE_REPLAYED",
                reservation_state="RESERVATION_STATE_COMPENSATED",
                replayed_as="r-2",
            ),
            "dead letter 3-1-7-2: is replayed as r-2, and its order is compensated, which allows no replay"
            " [WRONG_DEAD_LETTER_STATE]",
            1,
        ),
        (
            REPLAY,
            "ReplayDeadLetter",
            error_status(
                C.FAILED_PRECONDITION,
                ErrorReason.ERROR_REASON_WRONG_DEAD_LETTER_STATE,
                state="DEAD_LETTER_STATE_SETTLED",
                reservation_state="RESERVATION_STATE_RELEASED",
            ),
            "dead letter 3-1-7-2: is settled, and its order is released, which allows no replay"
            " [WRONG_DEAD_LETTER_STATE]",
            1,
        ),
        (
            REPLAY,
            "ReplayDeadLetter",
            error_status(C.NOT_FOUND, ErrorReason.ERROR_REASON_DEAD_LETTER_NOT_FOUND),
            "dead letter 3-1-7-2: does not exist [DEAD_LETTER_NOT_FOUND]",
            1,
        ),
        (
            ("sale", "pause", "lamps"),
            "PauseSale",
            error_status(C.UNIMPLEMENTED, ErrorReason.ERROR_REASON_NOT_BUILT),
            "sale lamps: this server does not support this call yet [NOT_BUILT]",
            2,
        ),
        (
            BLOCK,
            "BlockBuyer",
            unavailable(ErrorReason.ERROR_REASON_LEDGER_UNREACHABLE, TOO_LONG_S),
            "buyer ada: the server cannot answer now, and nothing was done: The sentence of the server."
            " [LEDGER_UNREACHABLE]",
            2,
        ),
        (
            RESERVE,
            "Reserve",
            bad_fields(buyer_id="has a space", lines="must be 1 to 20 lines"),
            "reservation r-1 of sale lamps: buyer_id: has a space; lines: must be 1 to 20 lines [FIELD_OUT_OF_BOUNDS]",
            2,
        ),
        (
            RELEASE,
            "ReleaseReservation",
            unavailable(ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN, TOO_LONG_S),
            "reservation r-1 of sale lamps: it is unknown whether this was done; repeat it with the same ids"
            " (The sentence of the server.) [OUTCOME_UNKNOWN]",
            3,
        ),
        (
            SHOW,
            "GetSale",
            unavailable(ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN, TOO_LONG_S),
            "sale lamps: the server cannot answer now, and nothing was done: The sentence of the server."
            " [OUTCOME_UNKNOWN]",
            2,
        ),
        (RELEASE, "ReleaseReservation", ErrorStatus(C.UNAUTHENTICATED), f"{R1}: {SAYS} [UNAUTHENTICATED]", 2),
        (
            SHOW,
            "GetSale",
            error_status(C.UNAUTHENTICATED, ErrorReason.ERROR_REASON_TOKEN_INVALID, problem="bad_claim", claim="exp"),
            f"sale lamps: {SAYS} (problem: bad_claim, claim: exp) [TOKEN_INVALID]",
            2,
        ),
        (
            SHOW,
            "GetSale",
            error_status(C.PERMISSION_DENIED, ErrorReason.ERROR_REASON_SCOPE_MISSING, scope="inventory.read"),
            f"sale lamps: {SAYS} (scope: inventory.read) [SCOPE_MISSING]",
            2,
        ),
    ],
)
def test_a_failure_names_ids_sku_and_state(
    fake: FakeInventory, words: tuple[str, ...], method: str, status: ErrorStatus, line: str, exit_code: int
) -> None:
    """In a log of many commands the line is enough to know which one failed on what."""
    fake.will_answer(method, status)

    failed = run(fake, *words)

    assert failed.stderr == f"holdfast: {line}\n"
    assert failed.exit_code == exit_code


def test_a_failure_as_json_is_one_object_with_the_same_exit_code(fake: FakeInventory) -> None:
    """A script that reads standard output finds a failure where it would find the response."""
    metadata = {"sale_id": "lamps", "reservation_id": "r-1", "state": "RESERVATION_STATE_EXPIRED"}
    status = error_status(C.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_WRONG_RESERVATION_STATE, **metadata)
    fake.will_answer("ConfirmReservation", status, status)

    as_text, as_json = run(fake, *CONFIRM), run(fake, *CONFIRM, "--json")

    assert json.loads(as_json.stdout) == {
        "error": {
            "code": "FAILED_PRECONDITION",
            "reason": "ERROR_REASON_WRONG_RESERVATION_STATE",
            "message": "reservation r-1 of sale lamps: is expired, which does not allow this",
            "metadata": metadata,
        }
    }
    assert as_json.exit_code == as_text.exit_code == 1
    assert as_text.stdout == ""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("reserve", "lamps", "--json"), "INVALID_ARGUMENT"),
        ((*SHOW, "--json", "--address", "nowhere"), "INVALID_ARGUMENT"),
        ((*SHOW, "--json", "--address", "127.0.0.1:1", "--timeout", "0.1"), "UNAVAILABLE"),
    ],
)
def test_a_failure_before_the_call_as_json_is_one_object_too(words: tuple[str, ...], code: str) -> None:
    """No server gave a reason, so the code alone says of what kind it is."""
    failed = invoke(words)

    error = json.loads(failed.stdout)["error"]
    assert (error["code"], error["reason"], error["metadata"]) == (code, "", {})
    assert failed.exit_code == 2


def test_a_call_that_is_interrupted_is_unknown_with_exit_code_3(fake: FakeInventory) -> None:
    """The server may have done it, so the line gives the ids to repeat it with."""
    hangs = threading.Event()
    fake.will_answer("Reserve", hangs)
    stdout, stderr = written(), written()

    with interrupting_once(lambda: asyncio.run(eventually(lambda: fake.asked))):
        code = run_with(fake, *RESERVE, "--json", stdout=stdout, stderr=stderr)
    hangs.set()

    [line] = text_of(stderr).splitlines()
    assert "reservation r-1 of sale lamps: " in line
    assert "unknown whether this was done: repeat it with the same ids" in line
    assert json.loads(text_of(stdout))["error"]["code"] == "CANCELLED"
    assert code == 3


def test_a_command_that_is_interrupted_before_the_call_has_done_nothing(fake: FakeInventory) -> None:
    """While it connects no call is out: exit code 2."""
    stderr = written()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with interrupting_once(silent.accept):
            code = run_with(fake, *RESERVE, "--address", address, stdout=written(), stderr=stderr)

    assert "interrupted; nothing was done" in text_of(stderr)
    assert code == 2


def test_a_sale_id_is_made_up_and_printed_before_the_call(fake: FakeInventory) -> None:
    """A call that was interrupted can be repeated with it."""
    fake.will_answer("CreateSale", unavailable(ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN, TOO_LONG_S))

    failed = run(fake, "sale", "create", "--item", "lamp=1")

    [asked] = fake.asked
    assert failed.stderr.startswith(f"sale id {asked.sale.sale_id}\n")
    assert failed.exit_code == 3
