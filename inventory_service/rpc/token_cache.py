"""Remembers the tokens that were verified, by header: their signatures cost more than all else that a call costs."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.caller import Caller
from inventory_service.domain.results import Failure
from inventory_service.domain.revocations import Revocations
from inventory_service.domain.tokens import Problem, TokenRejected, Verifier
from inventory_service.rpc.token_failures import refused, token_failure

VERIFIED = 10_000  # tokens that are remembered
FAILED = 1_000
FAILURE_S = 1.0  # for which a token that was rejected is not looked at again
BEARER = "bearer "
MAX_HEADER = 8192  # characters

Known = TypeVar("Known")


class _Verified:
    """A token that was verified by some keys, and was not revoked in a generation of revocations."""

    __slots__ = ("caller", "expires_at", "keys", "revocations")

    def __init__(self, caller: Caller, keys: object) -> None:
        self.caller = caller
        self.expires_at = caller.expires_at  # read in each call, and a slot is read faster than a named tuple's field
        self.keys = keys
        self.revocations = -1  # not looked at yet


class _Failed(NamedTuple):
    failure: Failure
    until_s: float
    keys: object


class TokenCache:
    """Verifies tokens, each once for as long as it lives, is not revoked and the keys stay.

    Of those that it remembers the oldest leaves first: one in use is then verified again, and no call is dearer for it.
    """

    def __init__(self, verifier: Verifier, revocations: Revocations, clock: Callable[[], float]) -> None:
        self._verifier = verifier
        self._keys = verifier.keys
        self._revocations = revocations
        self._clock = clock
        self._verified: dict[str, _Verified] = {}  # by header
        self._failed: dict[str, _Failed] = {}

    def caller_of(self, header: str) -> Caller:
        """Whom the token in a header names; CallFailed if it names none, is over or was revoked."""
        known = self._verified.get(header)
        if known is None or known.keys is not self._keys.current:
            known = self._verify(header)
        caller = known.caller
        if self._clock() >= known.expires_at:
            raise refused(token_failure(TokenRejected(Problem.EXPIRED)), caller)
        if known.revocations != self._revocations.generation:
            if self._revocations.revoked(caller):
                raise refused(Failure(reasons.ERROR_REASON_TOKEN_REVOKED), caller)
            known.revocations = self._revocations.generation
        return caller

    def _verify(self, header: str) -> _Verified:
        now_s, keys, failed = self._clock(), self._keys.current, self._failed.get(header)
        if failed and now_s < failed.until_s and failed.keys is keys:
            raise refused(failed.failure)
        try:
            caller = self._verifier.verify(_token_in(header))
        except TokenRejected as rejected:
            failure = token_failure(rejected)
            if len(header) <= MAX_HEADER:
                _remember(self._failed, FAILED, header, _Failed(failure, now_s + FAILURE_S, keys))
            raise refused(failure) from None
        verified = _Verified(caller, keys)  # those of before: if they changed meanwhile, it is verified again
        _remember(self._verified, VERIFIED, header, verified)
        return verified


def _remember(known: dict[str, Known], most: int, header: str, value: Known) -> None:
    known.pop(header, None)
    known[header] = value
    if len(known) > most:
        del known[next(iter(known))]


def _token_in(header: str) -> str:
    """The token of `authorization: Bearer TOKEN`; the word may be in any case."""
    if len(header) > MAX_HEADER:
        raise TokenRejected(Problem.TOO_LONG)
    if header[: len(BEARER)].lower() != BEARER:
        raise TokenRejected(Problem.NOT_BEARER)
    return header[len(BEARER) :].strip(" ")
