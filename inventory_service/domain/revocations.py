"""The tokens that were revoked, by tenant: single ones by `jti`, or all that a subject got before a moment."""

from inventory_service.domain.caller import Caller


class Revocations:
    """What a server knows of them; `generation` rises with every new entry: who was judged before is judged anew."""

    def __init__(self) -> None:
        self.generation = 0
        self._jtis: set[tuple[str, str]] = set()  # by tenant
        self._issued_before_s: dict[tuple[str, str], float] = {}  # by tenant and subject

    def revoke_token(self, tenant: str, jti: str) -> None:
        """The one token of this `jti`."""
        self._jtis.add((tenant, jti))
        self.generation += 1

    def revoke_subject(self, tenant: str, subject: str, issued_before_s: float) -> None:
        """All tokens of a subject that were issued before a moment, in seconds since 1970."""
        known_s = self._issued_before_s.get((tenant, subject), 0.0)
        self._issued_before_s[tenant, subject] = max(known_s, issued_before_s)
        self.generation += 1

    def revoked(self, caller: Caller) -> bool:
        """Whether the caller's token is among them."""
        if caller.jti and (caller.tenant, caller.jti) in self._jtis:
            return True
        return caller.issued_at < self._issued_before_s.get((caller.tenant, caller.subject), 0.0)
