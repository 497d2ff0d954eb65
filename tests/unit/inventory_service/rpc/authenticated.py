"""An authenticator whose keys, clock and revocations a test has in its hands."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from inventory_service.domain.caller import RESERVE, Caller
from inventory_service.domain.revocations import Revocations
from inventory_service.domain.tokens import Problem, TokenRejected
from inventory_service.rpc.auth import Authenticator, Identify
from inventory_service.rpc.status import CallFailed, status_of

NOW_S = 1_800_000_000.0
ANN = Caller("acme", "ann", frozenset({RESERVE}), "t-1", NOW_S - 60, NOW_S + 60)
Metadata = Sequence[tuple[str, str | bytes]]


class Keys:
    """Keys of which there is nothing to know but whether they have changed."""

    def __init__(self) -> None:
        self.current = object()


class FakeVerifier:
    """Believes the tokens that a test has given it, and counts how often it was asked."""

    def __init__(self, **tokens: Caller | TokenRejected) -> None:
        self.tokens = tokens
        self.keys = Keys()
        self.asked: list[str] = []

    def verify(self, token: str) -> Caller:
        self.asked.append(token)
        found = self.tokens.get(token, TokenRejected(Problem.BAD_SIGNATURE))
        if isinstance(found, Caller):
            return found
        raise found


class Authenticated:
    """Calls of one server, whose clock stands until a test moves it."""

    def __init__(self, *, certificates: Identify | None = None, **tokens: Caller | TokenRejected) -> None:
        self.now_s = NOW_S
        self.verifier = FakeVerifier(**tokens)
        self.revocations = Revocations()
        self.authenticator = Authenticator(self.verifier, self.revocations, certificates, lambda: self.now_s)
        self.authenticate = self.authenticator.caller_of

    def call(self, *headers: str, more: Metadata = ()) -> Caller:
        """The caller of a call with these `authorization` headers."""
        return self.authenticate(context_with(*headers, more=more))

    def failure(self, *headers: str) -> str:
        """Why such a call fails: the reason, and what its metadata says."""
        try:
            return f"the caller is {self.call(*headers)}"
        except CallFailed as failed:
            return failure_text(failed)


def failure_text(failed: CallFailed) -> str:
    """The reason and the metadata of a failure, which has a status."""
    assert status_of(failed).sentence
    reason = str(failed).removeprefix("ERROR_REASON_")
    return " ".join([reason, *(f"{key}={value}" for key, value in failed.failure.metadata.items())])


def context_with(*headers: str, more: Metadata = ()) -> Any:
    """The context of a call with these `authorization` headers; nothing in it but them is looked at."""
    metadata = (("user-agent", "a test"), *(("authorization", header) for header in headers), *more)
    return SimpleNamespace(invocation_metadata=lambda: metadata)
