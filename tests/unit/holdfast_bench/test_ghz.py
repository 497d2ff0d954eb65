"""The ghz wrapper: its command line, and a report that is read whole or not at all."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from holdfast.access import Tls
from holdfast_bench import ghz
from holdfast_bench.ghz import command, protoset, read_report, run
from holdfast_bench.load import Claim, Load, LoadFailed, Report

from tests.waiting import LONG_S

LOAD = Load("127.0.0.1:1", "lamp-sale", series=1, seconds=2.0)


def report(**changed: Any) -> dict[str, Any]:
    """What ghz writes of four calls, in nanoseconds."""
    latencies = [4_000_000, 1_000_000, 3_000_000, 2_000_000]
    sound: dict[str, Any] = {
        "count": 4,
        "total": 2_000_000_000,
        "statusCodeDistribution": {"OK": 4},
        "details": [detail(latency) for latency in latencies],
    }
    return {**sound, **changed}


def detail(latency_ns: int, status: str = "OK") -> dict[str, Any]:
    """One call, as Go writes the time."""
    return {"latency": latency_ns, "status": status, "timestamp": "2026-11-28T03:04:40.709510437Z"}


ONE_FAILED = report(
    statusCodeDistribution={"OK": 3, "Unavailable": 1},
    details=[detail(4_000_000), detail(1_000_000), detail(3_000_000), detail(1000, "Unavailable")],
)


def test_a_report_has_rate_and_latencies() -> None:
    """In calls a second and milliseconds."""
    read = read_report(report())

    assert (read.calls, read.calls_per_s, list(read.latencies_ms)) == (4, 2.0, [1.0, 2.0, 3.0, 4.0])
    assert read.ended[0] == (1795835080.70951, 4.0)


def test_failed_calls_make_a_report_void() -> None:
    """ghz itself ends with 0 even if every call failed, and leaves them out of its percentiles."""
    with pytest.raises(LoadFailed, match="Unavailable"):
        read_report(ONE_FAILED)


def test_a_report_without_answers_is_void() -> None:
    """There is nothing of which to print a percentile."""
    with pytest.raises(LoadFailed):
        read_report(report(count=0, statusCodeDistribution={}, details=None))


def test_missing_details_make_a_report_void() -> None:
    """ghz keeps those of a million calls; percentiles of some of the calls would be those of other calls."""
    with pytest.raises(LoadFailed, match="shorter run"):
        read_report(report(count=5))


def test_a_rate_that_was_not_sent_makes_a_report_void() -> None:
    """A generator that falls behind hides the waits that an open loop is there to show."""
    assert read_report(report(), scheduled=4.4).calls == 4
    with pytest.raises(LoadFailed, match="4 of the 5 calls"):
        read_report(report(), scheduled=5)


@pytest.mark.parametrize(("rate", "to_rate", "calls"), [(None, None, None), (300, None, 750), (100, 600, 650)])
def test_a_rate_comes_to_a_number_of_calls(rate: float | None, to_rate: float | None, calls: float | None) -> None:
    """ghz changes the rate each second; the last second may be half a one."""
    assert Load("", "", 1, seconds=2.5, rate=rate, to_rate=to_rate).scheduled == calls


@pytest.mark.parametrize(("percent", "latency"), [(50, 500.0), (99, 990.0), (99.9, 999.0), (100, 1000.0), (0.01, 1.0)])
def test_percentiles_go_past_the_99th(percent: float, latency: float) -> None:
    """By nearest rank, so that each is a latency that a call had."""
    thousand = Report(1000, 1.0, [float(n) for n in range(1, 1001)])

    assert thousand.percentile_ms(percent) == latency


def words(load: Load, folder: Path) -> str:
    """The command line in one."""
    return " ".join(command(load, folder))


def test_a_rate_is_an_open_loop(tmp_path: Path) -> None:
    """Calls are sent whether or not earlier ones are answered, at a rate that stays or that grows."""
    fixed = Load("127.0.0.1:1", "lamp-sale", 1, 2.0, rate=300)
    growing = Load("127.0.0.1:1", "lamp-sale", 1, 2.0, rate=100, to_rate=500)

    assert "--async" not in words(LOAD, tmp_path)
    assert "--async --rps 300 " in words(fixed, tmp_path)
    assert "--async --load-schedule line --load-start 100 --load-end 500 --load-step=200 " in words(growing, tmp_path)


@pytest.mark.parametrize(
    ("rate", "to_rate", "options", "calls"),
    [
        (50, 20, "--load-start 50 --load-end 20 --load-step=-3 ", 365),  # it falls
        (50, 57, "--load-start 50 --load-end 57 --load-step=1 ", 542),  # ghz knows whole steps
        (50, 50.3, "--async --rps 50 ", None),  # ghz refuses a schedule that goes nowhere
    ],
)
def test_a_rate_changes_as_ghz_can_change_it(
    rate: float, to_rate: float, options: str, calls: int | None, tmp_path: Path
) -> None:
    """And the calls that have to be sent are counted by what it does."""
    load = Load("127.0.0.1:1", "lamp-sale", 1, 10.0, rate=rate, to_rate=to_rate)

    assert options in words(load, tmp_path)
    assert calls is None or load.scheduled == calls


def test_a_token_is_in_no_command_line(tmp_path: Path) -> None:
    """Every user of a machine sees those; the file's folder is its owner's alone, as `tempfile` makes it."""
    secret = Load("127.0.0.1:1", "lamp-sale", 1, 2.0, token="eyJhbGciOi")

    assert secret.token not in words(secret, tmp_path)
    assert json.loads((tmp_path / "metadata.json").read_text()) == {"authorization": "Bearer eyJhbGciOi"}
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_connection_is_encrypted_where_the_client_encrypts_it(tmp_path: Path) -> None:
    """By the same files."""
    encrypted = Load("127.0.0.1:1", "lamp-sale", 1, 2.0, tls=Tls("ca.pem", "cert.pem", "key.pem"))

    assert "--insecure" in words(LOAD, tmp_path)
    assert "--cacert ca.pem --cert cert.pem --key key.pem" in words(encrypted, tmp_path)
    assert "--insecure" not in words(encrypted, tmp_path)


def test_calls_ask_for_their_claims_in_turn(tmp_path: Path) -> None:
    """ghz takes the next element for each call, and writes the number of the call into the ids."""
    claims = [Claim("a", {"lamp": 2}), Claim("b", {"lamp": 1, "shade": 1})]
    command(Load("127.0.0.1:1", "a", "x", 2.0, claims=claims), tmp_path)

    first, second = json.loads((tmp_path / "data.json").read_text())

    assert (first["sale_id"], second["sale_id"]) == ("a", "b")
    assert first["reservation_id"] == "gx-{{.RequestNumber}}"
    assert second["lines"] == [{"sku": "lamp", "quantity": 1}, {"sku": "shade", "quantity": 1}]


def test_the_protoset_has_every_file_after_those_that_it_imports() -> None:
    """Otherwise ghz cannot read it."""
    seen: set[str] = set()
    for file in FileDescriptorSet.FromString(protoset()).file:
        assert set(file.dependency) <= seen
        seen.add(file.name)

    assert "holdfast/inventory/v1/inventory_service.proto" in seen


@pytest.mark.parametrize(
    ("does", "why"),
    [("exit 3", "ended with 3"), ("exit 0", "without a report"), ("sleep 60", "did not come to an end")],
)
def test_a_ghz_that_fails_is_no_result(does: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exit code, a report that is not there, and a run without end."""
    program = tmp_path / "ghz"
    program.write_text(f"#!/bin/sh\nexec {does}\n" if does.startswith("sleep") else f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)
    monkeypatch.setenv("HOLDFAST_GHZ", str(program))
    monkeypatch.setattr(ghz, "STARTING_S", 0.0 if does.startswith("sleep") else LONG_S)

    with pytest.raises(LoadFailed, match=why):
        run(Load("127.0.0.1:1", "lamp-sale", 1, 0.2))


def test_a_missing_ghz_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In words, for each command that needs it."""
    monkeypatch.setenv("HOLDFAST_GHZ", str(tmp_path / "nothing"))

    assert "go install github.com/bojand/ghz/cmd/ghz@v" in str(ghz.missing())
