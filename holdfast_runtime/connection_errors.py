"""Tells permanent connection errors (wrong password, untrusted certificate) from transient ones (server down)."""

import socket
import ssl
from collections.abc import Iterator
from enum import Enum

UNKNOWN_HOST = (socket.EAI_NONAME, socket.EAI_NODATA)  # any other failure of a name look-up may be transient
# The server closed the connection during the handshake, as a server that restarts may.
PEER_CLOSED = (
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
    ssl.SSLSyscallError,
    ssl.SSLWantReadError,
    ssl.SSLWantWriteError,
)
# No server accepted the connection, so only the address can be wrong.
REFUSED = (ConnectionRefusedError, FileNotFoundError, socket.gaierror)
PROBE_TIMEOUT_S = 2.0  # less than a process waits at its start, so that a silent server is reported as such


class Cause(Enum):
    """What is wrong with a connection; each cause may have a setting of its own."""

    NAME = "the host's name"  # transient where an orchestrator removes the names of stopped servers
    ADDRESS = "the address"
    TRUST = "the server's certificate"
    CERTIFICATE = "the client's certificate"
    USER = "user and password"
    PROTOCOL = "TLS or not"
    MECHANISM = "the SASL mechanism"
    COMMAND = "a command that the server must have"


class ConnectionRejected(Exception):
    """The connection fails permanently: a retry with the same settings fails too."""

    def __init__(self, cause: Cause, why: str) -> None:
        super().__init__(why)
        self.cause = cause


class TransientError(Exception):
    """The server is unavailable or busy: a retry may succeed."""


class ServerNotReady(TransientError):
    """The server answers, and does not do its work at present."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and the chain of exceptions that led to it."""
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in seen:
        seen.append(following)
        yield following
        following = following.__cause__ or following.__context__


def classify(error: BaseException) -> ConnectionRejected | None:
    """ConnectionRejected if an unknown host or a certificate led to the error; None if it may be transient."""
    for cause in causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ConnectionRejected(Cause.TRUST, f"its certificate is not trusted: {cause.verify_message}")
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, PEER_CLOSED):
            return _tls_failure(cause)
        if isinstance(cause, socket.gaierror) and cause.errno in UNKNOWN_HOST:
            return ConnectionRejected(Cause.NAME, "there is no host of that name")
    return None


def describe(error: BaseException, question: str) -> str:
    """The error's message; with `question` if the server accepted the connection and then stayed silent or closed it.

    The question is for example "is it PostgreSQL?".
    """
    message = str(error).rstrip(".") or "no answer in time"
    return message if any(isinstance(cause, REFUSED) for cause in causes(error)) else f"{message}: {question}"


def _tls_failure(error: ssl.SSLError) -> ConnectionRejected:
    """The server's TLS alert says whether it requires a client certificate, or rejects the one it got."""
    reason = error.reason or str(error)
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return ConnectionRejected(Cause.CERTIFICATE, f"it requires a client certificate that it trusts: {reason}")
    return ConnectionRejected(Cause.PROTOCOL, f"TLS fails: {reason}")
