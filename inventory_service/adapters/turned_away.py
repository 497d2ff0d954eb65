"""Tell a server that will not have us from one that is away: the first does not mend by waiting."""

import socket
import ssl
from collections.abc import Iterator
from enum import Enum

UNKNOWN_NAME = (socket.EAI_NONAME, socket.EAI_NODATA)  # any other trouble with names may pass
# The other end went away in the middle, which a server that restarts does too.
CUT_OFF = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


# Nobody is there, so that it is the address and nothing else.
NOBODY = (ConnectionRefusedError, FileNotFoundError, socket.gaierror)
KNOCK_S = 2.0  # shorter than a process waits at its start, which can then say that somebody listens and is silent


class Part(Enum):
    """What of our way to a server is wrong; a client may have a setting for each."""

    NAME = "the name of its host"  # which also goes away with a host that is only down, where names follow hosts
    ADDRESS = "address"
    TRUST = "its certificate"
    CERTIFICATE = "ours"
    USER = "user and password"
    PROTOCOL = "TLS or not"
    MECHANISM = "how the password is shown"


class TurnedAway(Exception):
    """A server, or the way to it, said no for good."""

    def __init__(self, part: Part, why: str) -> None:
        super().__init__(why)
        self.part = part


def find_fault(error: BaseException) -> TurnedAway | None:
    """Look through an error and what led to it for a name that is unknown or a certificate that is not believed."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return TurnedAway(Part.TRUST, f"its certificate is not believed: {cause.verify_message}")
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, CUT_OFF):
            return _tls_fault(cause)
        if isinstance(cause, socket.gaierror) and cause.errno in UNKNOWN_NAME:
            return TurnedAway(Part.NAME, "nobody knows a host of that name")
    return None


def why_no_answer(error: BaseException, question: str) -> str:
    """What an error says; and, where somebody listens who is silent or hangs up on what he hears, a question."""
    said = str(error).rstrip(".") or "no answer in time"
    return said if any(isinstance(cause, NOBODY) for cause in _causes(error)) else f"{said}: {question}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what led to it."""
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in seen:
        seen.append(following)
        yield following
        following = following.__cause__ or following.__context__


def _tls_fault(error: ssl.SSLError) -> TurnedAway:
    """The other end says by an alert that it wants another certificate of ours, or any."""
    reason = error.reason or str(error)
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return TurnedAway(Part.CERTIFICATE, f"it wants a certificate of ours that it believes: {reason}")
    return TurnedAway(Part.PROTOCOL, f"TLS fails: {reason}")
