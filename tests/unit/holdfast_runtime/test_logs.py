"""The logs have no repeated sentences."""

import logging

import pytest

from holdfast_runtime.logs import RepeatFilter

# gRPC logs a header's value so.
HEADER = """
import logging
from holdfast_runtime.logs import configure_logging

header = b"Bearer open-sesame\\xff"
for form in ("console", "json"):
    configure_logging("test", "debug", form)
    try:
        header.decode()
    except UnicodeDecodeError:
        logging.getLogger("grpc._cython.cygrpc").exception(f"Invalid encoding in {form} on %s", header)
logging.getLogger("another").error("a value of %s", "another")
"""


def test_grpc_logs_no_header_of_a_caller() -> None:
    """Any header may be a secret; its bytes are shown by no form and at no level."""
    run = subprocess.run([sys.executable, "-c", HEADER], capture_output=True, text=True, timeout=30, check=True)

    console, *as_json = run.stderr.splitlines()
    assert "Invalid encoding in console on [not shown]" in console
    assert [(line["level"], line["event"]) for line in map(json.loads, as_json)] == [
        ("warning", "Invalid encoding in json on [not shown]"),
        ("error", "a value of another"),
    ]
    assert "open-sesame" not in run.stderr


def test_a_repeated_sentence_is_logged_once_per_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries put values into their sentences, so sentences must not be kept for ever."""
    now = [100.0]
    monkeypatch.setattr("holdfast_runtime.logs.time.monotonic", lambda: now[0])
    repeats = RepeatFilter(pause_s=5)

    def is_logged(sentence: str) -> bool:
        return repeats.filter(logging.makeLogRecord({"name": "aiokafka", "msg": sentence}))

    first = [is_logged("away"), is_logged("away"), is_logged("node 1 is away")]
    now[0] += 5
    later = [is_logged("away"), is_logged("away")]

    assert first == [True, False, True]
    assert later == [True, False]
    assert len(repeats._logged) == 1
