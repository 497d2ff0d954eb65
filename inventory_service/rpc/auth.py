"""Determines the tenant and the actor of a call; every key, row and label that needs one takes it from here."""

from typing import Any

from grpc.aio import ServicerContext

DEFAULT_TENANT = "default"


def tenant_of(_context: ServicerContext[Any, Any]) -> str:
    """The one tenant there is while authentication is off."""
    return DEFAULT_TENANT


def actor_of(_context: ServicerContext[Any, Any]) -> str:
    """The subject of the caller's token; empty while authentication is off."""
    return ""
