"""What waiting does not mend is told from what it does, in both services, whatever a library wrapped around it."""

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from inventory_service.adapters import turned_away as inventory
from order_persister import turned_away as persister

BOTH = pytest.mark.parametrize("service", [inventory, persister], ids=["inventory_service", "order_persister"])


def tls(reason: str, kind: type[ssl.SSLError] = ssl.SSLError) -> ssl.SSLError:
    """An error as OpenSSL raises it."""
    error = kind(1, f"[SSL: {reason}] told by nobody")
    error.reason = reason
    return error


def not_believed() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "unable to get local issuer certificate"
    return error


@BOTH
@pytest.mark.parametrize(
    ("error", "part"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "NAME"),
        (not_believed(), "TRUST"),
        (tls("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "CERTIFICATE"),
        (tls("TLSV1_ALERT_UNKNOWN_CA"), "CERTIFICATE"),
        (tls("WRONG_VERSION_NUMBER"), "PROTOCOL"),
    ],
)
def test_what_is_wrong_for_good_is_found_below_other_errors(service: Any, error: Exception, part: str) -> None:
    """redis-py and aiokafka raise errors of their own, with or without a cause."""
    try:
        try:
            raise error
        except OSError:
            raise ConnectionError("no connection")  # noqa: B904  as redis-py does it
    except ConnectionError as wrapped:
        fault = service.find_fault(wrapped)

    assert fault is not None
    assert fault.part is service.Part[part]


@BOTH
@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        ConnectionRefusedError(111, "Connection refused"),
        tls("UNEXPECTED_EOF_WHILE_READING", ssl.SSLEOFError),
        TimeoutError(),
    ],
)
def test_what_may_pass_is_no_fault(service: Any, error: Exception) -> None:
    """A server that restarts refuses, and cuts off what had begun."""
    assert service.find_fault(error) is None


def test_an_error_that_leads_to_itself_is_looked_at_once() -> None:
    """Libraries that raise an old error again make such circles."""
    first, second = OSError("first"), OSError("second")
    first.__context__, second.__context__ = second, first

    assert inventory.find_fault(first) is None


def test_both_services_tell_it_alike() -> None:
    """They share no code, so that each can be deployed alone; what one learns the other must not miss."""
    ours, theirs = (Path(str(service.__file__)).read_text() for service in (inventory, persister))

    assert ours == theirs


@BOTH
def test_somebody_who_listens_and_hangs_up_makes_one_think(service: Any) -> None:
    """Another server's port, or TLS where there is none: nothing that comes back says so."""
    assert service.why_no_answer(ConnectionResetError(104, "reset by peer"), "is it PostgreSQL?").endswith(
        "reset by peer: is it PostgreSQL?"
    )
    assert service.why_no_answer(TimeoutError(), "is it PostgreSQL?") == "no answer in time: is it PostgreSQL?"


@BOTH
def test_where_nobody_listens_there_is_nothing_to_ask(service: Any) -> None:
    """It is the address, or the server is down."""
    wrapped = ConnectionError("no connection")
    wrapped.__context__ = ConnectionRefusedError(111, "Connection refused")

    assert service.why_no_answer(wrapped, "is it PostgreSQL?") == "no connection"
