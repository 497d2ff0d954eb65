"""Determines who makes a call, by token or certificate: its tenant, for every key and row, and its actor."""

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from grpc.aio import ServicerContext

from inventory_service.domain.caller import ANYONE, Caller
from inventory_service.domain.revocations import Revocations
from inventory_service.domain.tokens import Problem, TenantRejected, TokenRejected, Verifier
from inventory_service.rpc.status import CallFailed
from inventory_service.rpc.token_cache import TokenCache
from inventory_service.rpc.token_failures import refused, token_failure

# The caller of a call, or CallFailed: TOKEN_INVALID, TOKEN_REVOKED or SCOPE_MISSING.
Authenticate = Callable[[ServicerContext[Any, Any]], Caller]
# Whom a client certificate names, or None: there is none, or no identity is known for it.
Identify = Callable[[ServicerContext[Any, Any]], Caller | None]

current_caller: ContextVar[Caller] = ContextVar("current_caller", default=ANYONE)  # gRPC runs each call in a task


def tenant_of(_context: ServicerContext[Any, Any]) -> str:
    """The tenant of the caller; `default` while authentication is off."""
    return current_caller.get().tenant


def actor_of(_context: ServicerContext[Any, Any]) -> str:
    """The subject of the caller; empty while authentication is off."""
    return current_caller.get().subject


class Authenticator:
    """Finds out who calls: by the token, or by the certificate of a caller that sends none."""

    def __init__(
        self,
        verifier: Verifier | None,
        revocations: Revocations,
        certificates: Identify | None = None,
        clock: Callable[[], float] = time.time,
        count_refused: Callable[[str], None] = lambda _problem: None,
    ) -> None:
        """Without a verifier tokens are not looked at, and certificates alone count."""
        self._tokens = TokenCache(verifier, revocations, clock) if verifier else None
        self._certificates = certificates
        self._missing = Problem.NO_TOKEN if verifier else Problem.UNKNOWN_CERTIFICATE
        self._count_refused = count_refused

    def caller_of(self, context: ServicerContext[Any, Any]) -> Caller:
        """The caller; CallFailed with TOKEN_INVALID, TOKEN_REVOKED or SCOPE_MISSING."""
        try:
            certified = self._certificates(context) if self._certificates else None
            header = _authorization(context) if self._tokens else None
            if self._tokens is None or header is None:
                if certified is None:
                    raise refused(token_failure(TokenRejected(self._missing)))
                return certified
            caller = self._tokens.caller_of(header)
            if certified is not None and certified.tenant != caller.tenant:
                raise refused(token_failure(TenantRejected(Problem.OTHER_TENANT)), caller)
            return caller
        except CallFailed as failed:
            self._count_refused(failed.failure.metadata.get("problem", "revoked"))
            raise


def _authorization(context: ServicerContext[Any, Any]) -> str | None:
    """The one header of that name, or None; gRPC has all names in lower case."""
    found: str | None = None
    for header in context.invocation_metadata() or ():  # by index: a named tuple, as gRPC makes, is slow to unpack
        if header[0] == "authorization":
            if found is not None:
                raise refused(token_failure(TokenRejected(Problem.TWO_TOKENS)))
            found = str(header[1])
    return found
