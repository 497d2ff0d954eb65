"""Permanent connection errors are recognised and transient ones are not, below whatever a library has wrapped."""

import socket
import ssl

import pytest

from holdfast_runtime.connection_errors import Cause, classify, describe


def tls(reason: str, kind: type[ssl.SSLError] = ssl.SSLError) -> ssl.SSLError:
    """An error as OpenSSL raises it."""
    error = kind(1, f"[SSL: {reason}] raised by a test")
    error.reason = reason
    return error


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "unable to get local issuer certificate"
    return error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "NAME"),
        (untrusted(), "TRUST"),
        (tls("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "CERTIFICATE"),
        (tls("TLSV1_ALERT_UNKNOWN_CA"), "CERTIFICATE"),
        (tls("WRONG_VERSION_NUMBER"), "PROTOCOL"),
    ],
)
def test_a_rejection_is_found_below_other_errors(error: Exception, cause: str) -> None:
    """redis-py and aiokafka raise errors of their own, with or without a cause."""
    try:
        try:
            raise error
        except OSError:
            raise ConnectionError("no connection")  # noqa: B904  as redis-py does it
    except ConnectionError as wrapped:
        rejected = classify(wrapped)

    assert rejected is not None
    assert rejected.cause is Cause[cause]


@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        ConnectionRefusedError(111, "Connection refused"),
        tls("UNEXPECTED_EOF_WHILE_READING", ssl.SSLEOFError),
        TimeoutError(),
    ],
)
def test_a_transient_error_is_not_classified(error: Exception) -> None:
    """A server that restarts refuses connections and closes open ones."""
    assert classify(error) is None


def test_a_circular_chain_of_errors_ends() -> None:
    """A library that raises an old error again makes a circular chain."""
    first, second = OSError("first"), OSError("second")
    first.__context__, second.__context__ = second, first

    assert classify(first) is None


def test_a_connection_that_the_peer_closes_is_described_with_a_question() -> None:
    """The port may be another server's, or TLS may be missing: the error itself does not say so."""
    assert describe(ConnectionResetError(104, "reset by peer"), "is it PostgreSQL?").endswith(
        "reset by peer: is it PostgreSQL?"
    )
    assert describe(TimeoutError(), "is it PostgreSQL?") == "no answer in time: is it PostgreSQL?"


def test_a_refused_connection_is_described_without_one() -> None:
    """The address is wrong, or the server is down."""
    wrapped = ConnectionError("no connection")
    wrapped.__context__ = ConnectionRefusedError(111, "Connection refused")

    assert describe(wrapped, "is it PostgreSQL?") == "no connection"
