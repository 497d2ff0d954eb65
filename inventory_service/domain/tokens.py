"""Why a token is not valid, in words that a caller may hear."""

from enum import StrEnum
from typing import Protocol

from inventory_service.domain.caller import Caller


class Problem(StrEnum):
    """What is wrong with a token, with how it was sent, or with a client certificate."""

    NO_TOKEN = "no_token"
    TWO_TOKENS = "two_tokens"  # more than one header
    NOT_BEARER = "not_bearer"  # the header is of another kind
    TOO_LONG = "too_long"  # the header is above 8 KiB
    UNREADABLE = "unreadable"  # it is no JWT
    BAD_HEADER = "bad_header"  # it has `crit`, or a `kid` that is no text
    WRONG_ALGORITHM = "wrong_algorithm"  # no key, or not the one that it names, is for its `alg`
    NO_KID = "no_kid"  # and there are several keys
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    MISSING_CLAIM = "missing_claim"
    BAD_CLAIM = "bad_claim"  # its type or value is out of bounds, or another than this server wants
    VALID_TOO_LONG = "valid_too_long"  # more than 24 hours
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    DEFAULT_TENANT = "default_tenant"  # it names the tenant of callers without tokens
    OTHER_TENANT = "other_tenant"  # than the client certificate
    UNKNOWN_CERTIFICATE = "unknown_certificate"  # no identity has one of its names, and tokens are not taken
    AMBIGUOUS_CERTIFICATE = "ambiguous_certificate"  # its names are those of several identities


class TokenRejected(Exception):
    """The token is not valid: UNAUTHENTICATED. `claim` names the one that is at fault, if one is."""

    def __init__(self, problem: Problem, claim: str = "") -> None:
        super().__init__(f"{problem} {claim}".strip())
        self.problem = problem
        self.claim = claim


class TenantRejected(TokenRejected):
    """The token is valid, and names no tenant, or one that may not be used: PERMISSION_DENIED."""


class CurrentKeys(Protocol):
    """The keys that tokens are verified by."""

    @property
    def current(self) -> object:
        """Another object once the keys have changed: what was verified before is judged anew."""


class Verifier(Protocol):
    """Judges tokens."""

    @property
    def keys(self) -> CurrentKeys: ...

    def verify(self, token: str) -> Caller:
        """Who a token says that its bearer is; `TokenRejected` if it is not valid."""
