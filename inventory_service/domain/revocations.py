"""Which tokens are revoked: one by its `jti`, or all that a subject got before a moment, within their tenant."""

from collections.abc import Iterable
from typing import NamedTuple

from inventory_service.domain.caller import Caller
from inventory_service.domain.token_claims import MAX_LIFETIME_S

LONGEST_LEEWAY_S = 300  # by which a server takes a token that is issued later, or has ended earlier
# A token that was issued when it was revoked is invalid everywhere after this.
KEPT_S = LONGEST_LEEWAY_S + MAX_LIFETIME_S + LONGEST_LEEWAY_S


class Revocation(NamedTuple):
    """What one RevokeTokens made invalid."""

    tenant: str
    name: str  # the `jti` of a token, or the `sub` of a subject's
    issued_before_s: int | None  # of a subject's tokens, in whole seconds since 1970; None: it is a `jti`
    reason: str
    actor: str  # empty: authentication was off
    create_ms: int  # since 1970

    @property
    def expires_ms(self) -> int:
        """When no token that it names can be valid any more, in ms since 1970."""
        return self.create_ms + KEPT_S * 1000


class Revocations:
    """All revocations that a process knows. `generation` rises whenever a token may have become invalid."""

    def __init__(self) -> None:
        self.generation = 0
        self._tokens: dict[tuple[str, str], Revocation] = {}  # by tenant and `jti`
        self._subjects: dict[tuple[str, str], Revocation] = {}  # by tenant and `sub`: that of the latest moment

    def __len__(self) -> int:
        return len(self._tokens) + len(self._subjects)

    def revoked(self, caller: Caller) -> bool:
        """Whether the caller's token is revoked; a caller by its certificate has none."""
        if not caller.has_token:
            return False
        if (caller.tenant, caller.jti) in self._tokens:
            return True
        subject = self._subjects.get((caller.tenant, caller.subject))
        return subject is not None and caller.issued_at < _before_s(subject)

    def covers(self, revocation: Revocation) -> bool:
        """Whether all tokens that it names are revoked already."""
        key = (revocation.tenant, revocation.name)
        if revocation.issued_before_s is None:
            return key in self._tokens
        return key in self._subjects and _before_s(self._subjects[key]) >= revocation.issued_before_s

    def add(self, revocations: Iterable[Revocation]) -> None:
        """Add those that make more tokens invalid."""
        for revocation in revocations:
            if not self.covers(revocation):
                of_kind = self._tokens if revocation.issued_before_s is None else self._subjects
                of_kind[revocation.tenant, revocation.name] = revocation
                self.generation += 1

    def drop_expired(self, now_ms: int) -> None:
        """Drop those that name no token which can still be valid."""
        for of_kind in (self._tokens, self._subjects):
            for key in [key for key, revocation in of_kind.items() if revocation.expires_ms <= now_ms]:
                del of_kind[key]

    def all(self) -> list[Revocation]:
        """Every one of them."""
        return [*self._tokens.values(), *self._subjects.values()]


def _before_s(subject: Revocation) -> int:
    assert subject.issued_before_s is not None, "a subject's revocation has a moment"
    return subject.issued_before_s
