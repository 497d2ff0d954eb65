"""The failure of a call whose token, or client certificate, does not say who calls."""

from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.results import Failure
from inventory_service.domain.tokens import TenantRejected, TokenRejected


def token_failure(rejected: TokenRejected) -> Failure:
    """TOKEN_INVALID; SCOPE_MISSING for a token that is believed, and names no tenant that may be used."""
    is_believed = isinstance(rejected, TenantRejected)
    reason = reasons.ERROR_REASON_SCOPE_MISSING if is_believed else reasons.ERROR_REASON_TOKEN_INVALID
    about = {"claim": rejected.claim} if rejected.claim else {}
    return Failure(reason, {"problem": rejected.problem.value, **about})
