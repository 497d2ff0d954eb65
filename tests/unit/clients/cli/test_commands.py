"""The `holdfast` command against a fake server: its text, JSON and exit codes."""

import json
import os
import sys
from datetime import timedelta
from importlib.metadata import version

import grpc
import pytest
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.inventory_admin_service_pb2 import CreateSaleResponse
from holdfast.inventory.v1.inventory_service_pb2 import GetReservationResponse, GetSaleResponse, ReserveResponse
from holdfast.inventory.v1.reservation_pb2 import Rejection, RejectionReason, Reservation, Shortage
from holdfast.inventory.v1.sale_pb2 import Item, Sale

from tests.unit.clients.cli.command import HELD, NOON, RESERVE, SALE, TOO_LONG_S, invoke, run
from tests.unit.clients.fake_inventory import FakeInventory, bad_fields, error_status, unavailable

SOLD_OUT = ReserveResponse(
    rejection=Rejection(
        reason=RejectionReason.REJECTION_REASON_SOLD_OUT, shortages=[Shortage(sku="lamp", requested=2, held=5)]
    )
)
STATE_99 = bytes([5 << 3, 99])  # field 5 of a Reservation as a newer server would send it


def test_a_hold_is_shown_with_the_time_that_is_left(fake: FakeInventory) -> None:
    """It shows what is held, for which buyer, and until when in local time."""
    fake.will_answer("Reserve", ReserveResponse(reservation=HELD, read_time=NOON))

    done = run(fake, *RESERVE)

    assert done.exit_code == 0
    assert "held  r-1  sale lamps, buyer ada" in done.stdout
    assert "2 lamp" in done.stdout
    assert "10 min from now" in done.stdout


def test_a_reference_is_sent_and_shown(fake: FakeInventory) -> None:
    """A person finds the reservation of a cart, and the cart of a reservation."""
    held = Reservation()
    held.MergeFrom(HELD)
    held.reference = "cart-7"
    fake.will_answer("Reserve", ReserveResponse(reservation=held))

    done = run(fake, *RESERVE, "--reference", "cart-7")

    assert [asked.reference for asked in fake.asked] == ["cart-7"]
    assert "reference: cart-7" in done.stdout


def test_sold_out_is_exit_code_1_and_says_what_is_short(fake: FakeInventory) -> None:
    """Its exit code differs from a failure's, and the text says that held units may come back."""
    fake.will_answer("Reserve", SOLD_OUT)

    done = run(fake, *RESERVE)

    assert done.exit_code == 1
    assert "sold out" in done.stdout
    assert "lamp: 2 asked, 0 left, 5 held\n" in done.stdout


def test_a_rejection_as_json_is_exit_code_1_too(fake: FakeInventory) -> None:
    """The form of the output does not change what it means."""
    fake.will_answer("Reserve", SOLD_OUT)

    done = run(fake, *RESERVE, "--json")

    assert done.exit_code == 1
    assert json.loads(done.stdout)["rejection"]["shortages"] == [
        {"sku": "lamp", "requested": 2, "available": 0, "held": 5}
    ]


def test_an_id_is_made_up_and_printed_before_the_call(fake: FakeInventory) -> None:
    """The id to repeat the call with is known whatever happens to it; on standard error, so that JSON stays JSON."""
    fake.will_answer("Reserve", ReserveResponse(reservation=HELD))

    done = run(fake, *RESERVE[:-2], "--json")

    [asked] = fake.asked
    assert f"--id {asked.reservation_id}" in done.stderr
    assert json.loads(done.stdout)["reservation"]["state"] == "RESERVATION_STATE_HELD"


def test_an_unknown_outcome_is_exit_code_3(fake: FakeInventory) -> None:
    """The one code after which a script must repeat."""
    fake.will_answer("Reserve", unavailable(ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN, TOO_LONG_S))

    done = run(fake, *RESERVE)

    assert done.exit_code == 3
    assert "repeat it with the same ids" in done.stderr


def test_a_frozen_shard_is_exit_code_2_and_says_why(fake: FakeInventory) -> None:
    """Nothing was done; the line has the reason of the freeze for an operator."""
    why = "NEEDS_RESTORE: the hashes differ."
    fake.will_answer(
        "Reserve",
        unavailable(ErrorReason.ERROR_REASON_SHARD_NOT_SERVING, TOO_LONG_S, frozen_reason=why),
    )

    done = run(fake, *RESERVE)

    assert done.exit_code == 2
    assert "nothing was done" in done.stderr
    assert "NEEDS_RESTORE" in done.stderr


def test_not_found_is_exit_code_1(fake: FakeInventory) -> None:
    """The server has answered: the reservation does not exist."""
    fake.will_answer(
        "GetReservation", error_status(grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_RESERVATION_NOT_FOUND)
    )

    done = run(fake, "get", "lamps", "r-9")

    assert done.exit_code == 1
    assert "RESERVATION_NOT_FOUND" in done.stderr


def test_fields_out_of_bounds_are_named_with_exit_code_2(fake: FakeInventory) -> None:
    """A request that the server finds invalid is bad usage."""
    fake.will_answer("Reserve", bad_fields(buyer_id="has a space in it"))

    done = run(fake, *RESERVE)

    assert done.exit_code == 2
    assert "buyer_id: has a space in it" in done.stderr


def test_no_server_says_what_to_do_next() -> None:
    """The line names the command that starts one."""
    without_id = RESERVE[:-2]  # so that an id would be made up and printed once the server is connected
    done = invoke([*without_id, "--address", "127.0.0.1:1", "--timeout", "0.1"])

    assert done.exit_code == 2
    [line] = done.stderr.splitlines()
    assert line.endswith(
        "no server answers at 127.0.0.1:1: start one with `holdfast up`, or set HOLDFAST_ADDRESS, or HOLDFAST_CA_FILE"
        " if one there speaks TLS"
    )


@pytest.mark.parametrize("address", ["", "here", "127.0.0.1:1,", "127.0.0.1:1,here"])
def test_a_malformed_address_is_one_line(address: str, capfd: pytest.CaptureFixture[str]) -> None:
    """gRPC would log a page about it, and call a port that it chooses itself."""
    done = invoke([*RESERVE, "--address", address])

    [line] = done.stderr.splitlines()
    assert "the address must be host:port" in line
    assert done.exit_code == 2
    assert capfd.readouterr().err == ""


def test_a_state_of_a_newer_server_is_shown_by_its_number(fake: FakeInventory) -> None:
    """Enum values may be added, and an older command shows the response all the same."""
    newer = Reservation.FromString(Reservation(reservation_id="r-1").SerializeToString() + STATE_99)
    fake.will_answer("GetReservation", GetReservationResponse(reservation=newer))

    assert "unknown (99)  r-1" in run(fake, "get", "lamps", "r-1").stdout


def test_get_prints_numbers_as_numbers(fake: FakeInventory) -> None:
    """The proto's own JSON puts 64-bit integers in quotes, where a script would compare text."""
    fake.will_answer("GetReservation", GetReservationResponse(reservation=HELD, read_time=NOON))

    facts = json.loads(run(fake, "get", "lamps", "r-1", "--json").stdout)

    assert facts["reservation"]["lines"][0]["quantity"] == 2
    assert facts["reservation"]["expire_time"] == "2026-11-27T12:10:00Z"


def test_a_sale_is_made_as_it_was_typed(fake: FakeInventory) -> None:
    """Every option arrives in its field."""
    fake.will_answer("CreateSale", CreateSaleResponse(sale=SALE))

    items = ["--item", "lamp=5000", "--item", "shade=20"]
    done = run(fake, "sale", "create", "lamps", *items, "--hold", "1h30m", "--limit", "4", "--title", "Lamps")

    assert done.exit_code == 0
    assert fake.asked[0].sale == Sale(
        sale_id="lamps",
        title="Lamps",
        hold_ttl=timedelta(minutes=90),
        buyer_limit=4,
        items=[Item(sku="lamp", total=5000), Item(sku="shade", total=20)],
    )


def test_a_sale_without_holds_has_a_hold_of_zero(fake: FakeInventory) -> None:
    """`--hold 0` sets the field to zero, which differs from leaving it out."""
    fake.will_answer("CreateSale", CreateSaleResponse(sale=SALE))

    run(fake, *["sale", "create", "lamps", "--item", "lamp=1", "--hold", "0"])

    assert fake.asked[0].sale.HasField("hold_ttl")


def test_a_sale_is_shown_with_its_stock(fake: FakeInventory) -> None:
    """Available, held, sold and total, an item a row."""
    fake.will_answer("GetSale", GetSaleResponse(sale=SALE))

    shown = run(fake, "sale", "show", "lamps")

    assert shown.stdout.splitlines()[-1].split() == ["lamp", "4,998", "2", "0", "5,000"]


def test_the_token_of_the_environment_is_sent(fake: FakeInventory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No option has it, because every user of a machine can list the arguments of its processes."""
    fake.will_answer("GetSale", GetSaleResponse(sale=SALE))
    monkeypatch.setenv("HOLDFAST_TOKEN", "t-1")

    run(fake, "sale", "show", "lamps")

    assert [each["authorization"] for each in fake.metadata] == ["Bearer t-1"]


@pytest.mark.parametrize("asked_for", ["--use-proxy", "HOLDFAST_USE_PROXY"])
def test_a_proxy_is_used_only_if_asked_for(
    fake: FakeInventory, monkeypatch: pytest.MonkeyPatch, asked_for: str
) -> None:
    """The proxy that the environment names serves nothing here."""
    fake.will_answer("GetSale", GetSaleResponse(sale=SALE))
    for variable in ("no_proxy", "no_grpc_proxy", "grpc_proxy", "https_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    show = ("sale", "show", "lamps")

    directly = run(fake, *show)
    if asked_for.startswith("--"):
        by_proxy = run(fake, *show, asked_for, "--timeout", "0.1")
    else:
        monkeypatch.setenv(asked_for, "1")
        by_proxy = run(fake, *show, "--timeout", "0.1")

    assert directly.exit_code == 0
    assert "no server answers" in by_proxy.stderr


def test_a_process_is_started_as_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the arguments, `--help` among them, and none of its modules is imported here."""
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, words: started.append([program, *words]))

    invoke(["persist", "--help"])
    invoke(["up", "--data-dir", "here"])

    python = sys.executable
    assert started == [
        [python, python, "-P", "-m", "order_persister", "persist", "--help"],
        [python, python, "-P", "-m", "holdfast_embedded", "up", "--data-dir", "here"],
    ]


def test_a_process_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain package is the client alone."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    refused = invoke(["serve"])

    assert refused.exit_code == 2
    assert "with its extra [server]" in refused.stderr


def test_version_is_one_line() -> None:
    """A script reads it."""
    assert invoke(["--version"]).stdout == f"holdfast {version('holdfast')}\n"
