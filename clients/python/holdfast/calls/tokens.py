"""The call that makes tokens invalid before they end."""

from datetime import datetime

from holdfast.caller import Caller
from holdfast.inventory.v1.inventory_admin_service_pb2 import RevokeTokensRequest, RevokeTokensResponse, SubjectTokens
from holdfast.requests import with_zone


class TokenCalls(Caller):
    """The call on tokens, of the tenant of the caller's own token."""

    async def revoke_tokens(
        self,
        reason: str,
        *,
        jti: str | None = None,
        subject: str | None = None,
        issued_before: datetime | None = None,
    ) -> RevokeTokensResponse:
        """Make the token with this `jti` invalid, or all tokens of a `subject`; calls and streams end within a second.

        `issued_before`: those of the subject that were issued before this moment, now if not given; a time without a
        zone is local. Safe to repeat; `recorded` is False while the ledger is away, and the servers record it later.
        """
        if (jti is None) == (subject is None):
            raise TypeError("revoke_tokens takes either jti or subject")
        if subject is None and issued_before is not None:
            raise TypeError("issued_before goes with subject")
        tokens = None if subject is None else SubjectTokens(subject=subject, issued_before=with_zone(issued_before))
        request = RevokeTokensRequest(jti=jti, subject_tokens=tokens, reason=reason)
        return await self._ask(lambda stubs: stubs.operators.RevokeTokens, request)
