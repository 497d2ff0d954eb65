"""Tells a connection that a server rejects for good from one that fails for a while."""

import socket
import ssl
from collections.abc import Iterator
from enum import Enum

UNKNOWN_HOST = (socket.EAI_NONAME, socket.EAI_NODATA)  # any other failure of a name look-up may be transient
# The server closed the connection in mid-handshake, as one that restarts does too.
PEER_CLOSED = (
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
    ssl.SSLSyscallError,
    ssl.SSLWantReadError,
    ssl.SSLWantWriteError,
)
# Nothing listens there, so that only the address can be wrong.
REFUSED = (ConnectionRefusedError, FileNotFoundError, socket.gaierror)
PROBE_TIMEOUT_S = 2.0  # less than a process waits at its start, so that it can tell a silent server from none


class Cause(Enum):
    """What is wrong with a connection; a client may have a setting for each."""

    NAME = "the host's name"  # which an outage may remove too, where names are given to what runs
    ADDRESS = "the address"
    TRUST = "the server's certificate"
    CERTIFICATE = "the client's certificate"
    USER = "user and password"
    PROTOCOL = "TLS or not"
    MECHANISM = "the SASL mechanism"


class ConnectionRejected(Exception):
    """The server, or the way to it, will not take this connection however often it is tried."""

    def __init__(self, cause: Cause, why: str) -> None:
        super().__init__(why)
        self.cause = cause


class TransientError(Exception):
    """A server is away or busy and will be back; nothing that was asked of it is known to be refused."""


def classify(error: BaseException) -> ConnectionRejected | None:
    """ConnectionRejected if an unknown host or a certificate led to the error; None if it may be transient."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ConnectionRejected(Cause.TRUST, f"its certificate is not believed: {cause.verify_message}")
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, PEER_CLOSED):
            return _tls_failure(cause)
        if isinstance(cause, socket.gaierror) and cause.errno in UNKNOWN_HOST:
            return ConnectionRejected(Cause.NAME, "there is no host of that name")
    return None


def describe(error: BaseException, question: str) -> str:
    """The error's message; if the server took the connection and then stayed silent or closed it, with `question`.

    The question is for example "is it PostgreSQL?".
    """
    message = str(error).rstrip(".") or "no answer in time"
    return message if any(isinstance(cause, REFUSED) for cause in _causes(error)) else f"{message}: {question}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what led to it."""
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in seen:
        seen.append(following)
        yield following
        following = following.__cause__ or following.__context__


def _tls_failure(error: ssl.SSLError) -> ConnectionRejected:
    """The server's alert says whether it wants a certificate of the client's, or another one."""
    reason = error.reason or str(error)
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return ConnectionRejected(Cause.CERTIFICATE, f"it wants a client certificate that it believes: {reason}")
    return ConnectionRejected(Cause.PROTOCOL, f"TLS fails: {reason}")
