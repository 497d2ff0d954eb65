"""The failure of a call whose token, or client certificate, does not say who calls, and its line in the log."""

import structlog
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.caller import Caller
from inventory_service.domain.results import Failure
from inventory_service.domain.tokens import TenantRejected, TokenRejected
from inventory_service.rpc.status import CallFailed

log = structlog.get_logger()


def token_failure(rejected: TokenRejected) -> Failure:
    """TOKEN_INVALID; SCOPE_MISSING for a token that is valid, and names no tenant that may be used."""
    is_valid = isinstance(rejected, TenantRejected)
    reason = reasons.ERROR_REASON_SCOPE_MISSING if is_valid else reasons.ERROR_REASON_TOKEN_INVALID
    about = {"claim": rejected.claim} if rejected.claim else {}
    return Failure(reason, {"problem": rejected.problem.value, **about})


def refused(failure: Failure, caller: Caller | None = None) -> CallFailed:
    """What to raise; the log names the caller only if its token was verified, since anyone can write any other."""
    problem = failure.metadata.get("problem", "revoked")
    log.debug("caller_refused", **{"problem": problem, **failure.metadata}, **(caller.named if caller else {}))
    return CallFailed(failure)
