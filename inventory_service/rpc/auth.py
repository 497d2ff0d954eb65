"""Determines the tenant and the actor of a call; every key, row and label that needs one takes it from here."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from grpc.aio import ServicerContext

from inventory_service.domain.caller import ANYONE, Caller

# The caller of a call, or CallFailed: TOKEN_INVALID, TOKEN_REVOKED or SCOPE_MISSING.
Authenticate = Callable[[ServicerContext[Any, Any]], Caller]

current_caller: ContextVar[Caller] = ContextVar("current_caller", default=ANYONE)  # gRPC runs each call in a task


def tenant_of(_context: ServicerContext[Any, Any]) -> str:
    """The tenant of the caller; `default` while authentication is off."""
    return current_caller.get().tenant


def actor_of(_context: ServicerContext[Any, Any]) -> str:
    """The subject of the caller; empty while authentication is off."""
    return current_caller.get().subject
