"""The h2load wrapper: the body of a request, and a report that is read whole or not at all."""

import ctypes
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from holdfast.inventory.v1.inventory_service_pb2 import BatchReserveRequest, ReserveRequest
from holdfast_bench.load import Load, LoadFailed

from bench.h2load import PLACEHOLDER, SOURCE, at_a_rate, compile_ids, read_report, request_body

LOAD = Load("127.0.0.1:1", "lamp-sale", series=1, seconds=2.0, smallest_answer=95)
LOG = "1795000000000000\t200\t3000\n1795000000000100\t200\t1000\n"


def output(data_bytes: int) -> str:
    """What h2load prints, as far as it is read."""
    return f"""finished in 2.00s, 1.00 req/s, 1.2KB/s
traffic: 1.25KB (1275) total, 300B (300) headers (space savings 90.00%), 200B ({data_bytes}) data
"""


def test_a_body_is_a_whole_request_with_places_for_two_ids() -> None:
    """An id of the same length takes the place of each, so that the lengths before it stay right."""
    body = request_body("lamp-sale")

    assert int.from_bytes(body[1:5], "big") == len(body) - 5
    request = ReserveRequest.FromString(body[5:])
    assert (request.sale_id, request.reservation_id, request.buyer_id) == ("lamp-sale", PLACEHOLDER, PLACEHOLDER)


def test_a_batch_is_a_whole_request_with_places_for_two_ids_of_each() -> None:
    """Each of its requests is the Reserve of the other body."""
    body = request_body("lamp-sale", batch=100)

    assert int.from_bytes(body[1:5], "big") == len(body) - 5
    requests = BatchReserveRequest.FromString(body[5:]).requests
    assert list(requests) == [ReserveRequest.FromString(request_body("lamp-sale")[5:])] * 100


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("at_once", [10**6, 40])
def test_each_request_of_a_batch_gets_ids_of_its_own(
    at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few bytes are read at once: no placeholder is cut in two."""
    monkeypatch.setenv("FIRST_ID", "7000")
    body = tmp_path / "body"
    body.write_bytes(request_body("lamp-sale", batch=100))

    message = b"".join(read_parts(ctypes.CDLL(str(compile_ids(tmp_path))), body, at_once))[5:]

    requests = BatchReserveRequest.FromString(message).requests
    ids = [name for request in requests for name in (request.reservation_id, request.buyer_id)]
    assert ids == [f"{number:016}" for number in range(7000, 7200)]


def read_parts(library: ctypes.CDLL, body: Path, at_once: int) -> Iterator[bytes]:
    """What h2load reads of its body."""
    buffer, offset = ctypes.create_string_buffer(at_once), 0
    with body.open("rb") as file:
        while length := library.pread(file.fileno(), buffer, ctypes.c_size_t(at_once), ctypes.c_long(offset)):
            yield buffer.raw[:length]
            offset += length


def test_python_and_c_have_the_same_placeholder() -> None:
    """The library replaces only the placeholder that it was compiled with."""
    assert f'#define PLACEHOLDER "{PLACEHOLDER}"' in SOURCE.read_text()


def test_a_report_has_rate_and_latencies() -> None:
    """In calls a second and sorted milliseconds."""
    report = read_report(LOAD, output(200), LOG)

    assert (report.calls, report.calls_per_s, list(report.latencies_ms)) == (2, 1.0, [1.0, 3.0])


def test_a_broken_stream_makes_a_report_void() -> None:
    """h2load writes -1 for its status and goes on."""
    with pytest.raises(LoadFailed, match="1 of 3 calls failed"):
        read_report(LOAD, output(300), LOG + "1795000000000200\t-1\t500\n")


def test_a_call_without_a_message_makes_a_report_void() -> None:
    """A gRPC call that fails has the HTTP status 200, but no message."""
    with pytest.raises(LoadFailed, match="had no message"):
        read_report(LOAD, output(199), LOG)


def test_a_report_without_calls_is_void() -> None:
    """A server that hangs answers none, and none of them fails."""
    with pytest.raises(LoadFailed):
        read_report(LOAD, output(0), "")


def test_calls_may_fail_where_no_smallest_answer_is_set() -> None:
    """The bytes of all messages then tell how many did not."""
    report = read_report(replace(LOAD, smallest_answer=0), output(100), LOG)

    assert (report.calls, report.data_bytes) == (2, 100)


RATED = replace(LOAD, seconds=1.0, rate=200.0, connections=2)
START_US = 1_795_000_000_000_000


def log_at_a_rate(stalled_from: int = 10**6, stalled_to: int = 0) -> str:
    """The log of two connections at a rate: calls of 1 ms each; those due in the stall are sent at its end."""
    due_us = [number // 2 * 10_000 for number in range(400)]
    sent_us = [stalled_to if stalled_from <= due < stalled_to else due for due in due_us]
    return "".join(f"{START_US + sent}\t200\t1000\n" for sent in sent_us)


def test_at_a_rate_a_latency_counts_from_when_the_call_was_due() -> None:
    """A generator that is held back sends late, and a caller would have waited: 100 ms, 90 ms and so on."""
    punctual = read_report(RATED, output(400 * 100), log_at_a_rate())
    stalled = read_report(RATED, output(400 * 100), log_at_a_rate(900_000, 1_000_000))

    assert set(punctual.latencies_ms) == {1.0}
    assert stalled.latencies_ms[-20:] == [1.0 + 10 * tick for tick in range(1, 11) for _ in range(2)]


def test_at_a_rate_the_beginning_and_the_end_do_not_count() -> None:
    """At the beginning connections are made, and calls that are not answered at the end are not in the log."""
    report = read_report(RATED, output(400 * 100), log_at_a_rate(0, 400_000))

    assert (len(report.latencies_ms), report.latencies_ms[-1]) == (200, 1.0)
    assert (report.calls, report.calls_per_s) == (400, 200)


def test_a_rate_that_was_not_sent_makes_a_report_void() -> None:
    """Another load was asked for."""
    with pytest.raises(LoadFailed, match="100 of the 200 calls"):
        read_report(RATED, output(300 * 100), "".join(log_at_a_rate().splitlines(keepends=True)[:200]))


def test_a_rate_has_as_many_connections_as_send_one_call_a_tick() -> None:
    """Several calls of one connection in a tick would all be sent at its end."""
    load = at_a_rate(LOAD, 1_540)

    assert (load.rate, load.connections) == (1_500, 15)
