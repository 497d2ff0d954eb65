"""The call on tokens: RevokeTokens."""

import structlog
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin

from inventory_service.domain.results import Failure
from inventory_service.domain.revocations import Revocation
from inventory_service.domain.token_claims import MAX_ID_LENGTH
from inventory_service.rpc.auth import actor_of, tenant_of
from inventory_service.rpc.calls.call import Context
from inventory_service.rpc.status import CallFailed
from inventory_service.rpc.validation import MAX_TEXT, Validator
from inventory_service.service.revocations import Revoked, TokenRevocations

log = structlog.get_logger()


class TokenCalls:
    """RevokeTokens, which is harmless twice."""

    def __init__(self, revocations: TokenRevocations) -> None:
        self._revocations = revocations

    async def RevokeTokens(self, request: admin.RevokeTokensRequest, context: Context) -> admin.RevokeTokensResponse:
        """Make tokens of the caller's tenant invalid; its own may be among them."""
        revocation = revocation_from_proto(request, tenant_of(context), actor_of(context), self._revocations.now_ms())
        revoked = await self._revocations.revoke(revocation, context.time_remaining)
        if isinstance(revoked, Failure):
            raise CallFailed(revoked)
        _log(revocation, revoked)
        return admin.RevokeTokensResponse(replayed=revoked.replayed, recorded=revoked.recorded)


def _log(revocation: Revocation, revoked: Revoked) -> None:
    """Who revoked what; the books have the reason too, once they have the revocation."""
    named: dict[str, object] = {"jti": revocation.name}
    if revocation.issued_before_s is not None:
        named = {"subject": revocation.name, "issued_before": revocation.issued_before_s}
    about = {"tenant": revocation.tenant, "actor": revocation.actor, **named, "reason": revocation.reason}
    log.info("tokens_revoked", **about, **revoked._asdict())


def revocation_from_proto(request: admin.RevokeTokensRequest, tenant: str, actor: str, now_ms: int) -> Revocation:
    """Which tokens to revoke, and why."""
    fields = Validator()
    name, issued_before_s = _tokens(request, fields, now_ms)
    fields.text("reason", request.reason, 1, MAX_TEXT)
    fields.raise_if_invalid()
    return Revocation(tenant, name, issued_before_s, request.reason, actor, now_ms)


def _tokens(request: admin.RevokeTokensRequest, fields: Validator, now_ms: int) -> tuple[str, int | None]:
    """A `jti`; or a subject, and the moment before which its tokens were issued."""
    match request.WhichOneof("tokens"):
        case "jti":
            fields.text("jti", request.jti, 1, MAX_ID_LENGTH)
            return request.jti, None
        case "subject_tokens":
            fields.text("subject_tokens.subject", request.subject_tokens.subject, 1, MAX_ID_LENGTH)
            return request.subject_tokens.subject, _issued_before_s(request.subject_tokens, fields, now_ms)
    fields.add_violation("tokens", "must be jti or subject_tokens")
    return "", None


def _issued_before_s(subject: admin.SubjectTokens, fields: Validator, now_ms: int) -> int:
    """In whole seconds, as `iat` is compared: those below it are also below the moment itself."""
    if not subject.HasField("issued_before"):
        return -(-now_ms // 1000)
    moment = subject.issued_before
    if fields.moment_ms("subject_tokens.issued_before", moment) > now_ms:
        fields.add_violation("subject_tokens.issued_before", "must not be in the future")
    return moment.seconds + (moment.nanos > 0)
