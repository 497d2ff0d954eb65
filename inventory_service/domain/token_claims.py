"""The rule of what a token whose signature is good must say, and who calls by it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from inventory_service.domain.caller import ALL_SCOPES, DEFAULT_TENANT, TENANT, Caller
from inventory_service.domain.tokens import Problem, TenantRejected, TokenRejected

MAX_LIFETIME_S = 86_400
MAX_ID_LENGTH = 255  # characters of `sub` and `jti`, as RevokeTokens takes them
LATEST_S = 2**53  # beyond, a float is no longer exact

Claims = Mapping[str, Any]


class TokenRules(NamedTuple):
    """What an operator may choose."""

    tenant_claim: str = "tenant"
    leeway_s: float = 5.0
    allows_default_tenant: bool = False


def caller_from_claims(claims: Claims, rules: TokenRules, now_s: float) -> Caller:
    """Who calls; `TokenRejected` if a claim is missing or bad, or if the token is not valid at this moment."""
    subject, scopes = _id(claims, "sub"), _scopes(claims)
    if subject is None:
        raise TokenRejected(Problem.MISSING_CLAIM, "sub")
    issued_s, expires_s = _checked_times(claims, rules.leeway_s, now_s)
    jti = _id(claims, "jti") or ""
    return Caller(_tenant(claims, rules), subject, scopes, jti, issued_s, expires_s + rules.leeway_s)


def _checked_times(claims: Claims, leeway_s: float, now_s: float) -> tuple[float, float]:
    """`iat` and `exp` of a token that is valid now."""
    issued_s, expires_s = _moment(claims, "iat"), _moment(claims, "exp")
    if issued_s is None or expires_s is None:
        raise TokenRejected(Problem.MISSING_CLAIM, "iat" if issued_s is None else "exp")
    if expires_s <= issued_s:
        raise TokenRejected(Problem.BAD_CLAIM, "exp")
    if expires_s - issued_s > MAX_LIFETIME_S:
        raise TokenRejected(Problem.VALID_TOO_LONG, "exp")
    if now_s >= expires_s + leeway_s:
        raise TokenRejected(Problem.EXPIRED)
    for name, begins_s in (("iat", issued_s), ("nbf", _moment(claims, "nbf"))):
        if begins_s is not None and begins_s > now_s + leeway_s:
            raise TokenRejected(Problem.NOT_YET_VALID, name)
    return issued_s, expires_s


def _moment(claims: Claims, name: str) -> float | None:
    """A number, in seconds since 1970, or None if there is none; JSON as Python reads it may hold NaN and Infinity."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST_S:
        raise TokenRejected(Problem.BAD_CLAIM, name)
    return float(value)


def _id(claims: Claims, name: str) -> str | None:
    """A text that fits the books, or None if there is none."""
    value = claims.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID_LENGTH or not _can_be_stored(value):
        raise TokenRejected(Problem.BAD_CLAIM, name)
    return value


def _can_be_stored(text: str) -> bool:
    """PostgreSQL takes no U+0000, and half a surrogate pair, which JSON can spell, is not UTF-8."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _scopes(claims: Claims) -> frozenset[str]:
    """Those of this service; others are another's."""
    value = claims.get("scope")
    listed = value.split(" ") if isinstance(value, str) else [] if value is None else value
    if not isinstance(listed, list) or not all(isinstance(scope, str) for scope in listed):
        raise TokenRejected(Problem.BAD_CLAIM, "scope")
    return ALL_SCOPES.intersection(listed)


def _tenant(claims: Claims, rules: TokenRules) -> str:
    name = rules.tenant_claim
    tenant = claims.get(name)
    if tenant is None:
        raise TenantRejected(Problem.MISSING_CLAIM, name)
    if not isinstance(tenant, str) or not TENANT.fullmatch(tenant):
        raise TenantRejected(Problem.BAD_CLAIM, name)
    if tenant == DEFAULT_TENANT and not rules.allows_default_tenant:
        raise TenantRejected(Problem.DEFAULT_TENANT, name)
    return tenant
