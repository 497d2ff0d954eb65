"""The log of a process has an unhandled exception with its place, and no password."""

import json
import subprocess
import sys

# Run apart, for logging is set up for a whole process. The password is a value at run time, never a line of the source.
UNHANDLED = """
import base64, sys, structlog
from holdfast_runtime.logs import configure_logging

def connect(dsn):
    raise LookupError("no such server")

secret = base64.b64decode("b3Blbi1zZXNhbWU=").decode()
for form in ("console", "json"):
    configure_logging("test", "info", form)
    try:
        connect(f"postgresql://holdfast:{secret}@127.0.0.1/holdfast")
    except LookupError:
        structlog.get_logger().exception("unhandled_exception")
"""


def test_an_unhandled_exception_is_logged_with_its_place_and_without_a_password() -> None:
    """A trace that shows local values shows the ledger's address with its password, to everyone who reads the log."""
    run = subprocess.run([sys.executable, "-c", UNHANDLED], capture_output=True, text=True, timeout=30, check=True)

    *console, as_json = run.stderr.splitlines()
    for logged in ("\n".join(console), json.loads(as_json)["exception"]):
        assert "no such server" in logged
        assert "in connect" in logged
    assert "open-sesame" not in run.stderr


# aiokafka logs each request so, that of SASL with the password in it.
REQUEST = """
import logging
from holdfast_runtime.logs import configure_logging

for level, silent in (("info", ()), ("info", ("aiokafka",)), ("debug", ()), ("debug", ("aiokafka",))):
    configure_logging("test", level, "json", silent)
    logging.getLogger("aiokafka.conn").debug("Request to %s: %s", "a broker", "b'ann open-sesame'")
    logging.getLogger("aiokafka.conn").warning(f"a warning at {level} {silent}")
    logging.getLogger("aiokafka").debug(f"a detail at {level} {silent}")
"""


def test_no_level_of_the_log_has_the_requests_of_kafkas_clients() -> None:
    """The other details are logged at the level debug."""
    run = subprocess.run([sys.executable, "-c", REQUEST], capture_output=True, text=True, timeout=30, check=True)

    assert "open-sesame" not in run.stderr
    events = [json.loads(line)["event"] for line in run.stderr.splitlines()]
    assert events == [
        "a warning at info ()",
        *("a warning at debug ()", "a detail at debug ()"),
        *("a warning at debug ('aiokafka',)", "a detail at debug ('aiokafka',)"),
    ]


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
