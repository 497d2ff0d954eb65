"""What the services' logs tell of a surprise, and what they keep to themselves."""

import logging
import subprocess
import sys

import pytest
from order_persister.logs import Sparing

# Run apart, for logging is set up once a process. The password is a value at run time, never a line of the source.
SURPRISE = """
import base64, sys, structlog
from {service}.logs import configure_logging

def connect(dsn):
    raise LookupError("nobody is there")

configure_logging("test", "info", "{form}")
secret = base64.b64decode("b3Blbi1zZXNhbWU=").decode()
try:
    connect(f"postgresql://holdfast:{{secret}}@127.0.0.1/holdfast")
except LookupError:
    structlog.get_logger().exception("unhandled_exception")
"""


@pytest.mark.parametrize("form", ["console", "json"])
@pytest.mark.parametrize("service", ["inventory_service", "order_persister"])
def test_a_surprise_tells_where_it_was_and_no_password(service: str, form: str) -> None:
    """A trace that shows local values shows the ledger's address with its password, to everyone who reads the log."""
    code = SURPRISE.format(service=service, form=form)

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)

    assert "nobody is there" in run.stderr
    assert "in connect" in run.stderr
    assert "open-sesame" not in run.stderr


def test_a_sentence_is_said_once_in_a_while_and_then_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries put values into their sentences, so what is remembered for ever grows for ever."""
    now = [100.0]
    monkeypatch.setattr("order_persister.logs.time.monotonic", lambda: now[0])
    sparing = Sparing(pause_s=5)

    def is_said(sentence: str) -> bool:
        return sparing.filter(logging.makeLogRecord({"name": "aiokafka", "msg": sentence}))

    first = [is_said("away"), is_said("away"), is_said("node 1 is away")]
    now[0] += 5
    later = [is_said("away"), is_said("away")]

    assert first == [True, False, True]
    assert later == [True, False]
    assert len(sparing._said) == 1
