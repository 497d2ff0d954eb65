"""Reflection, which names the services and their messages to a caller that the server knows, whatever its scopes."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

from grpc.aio import ServicerContext
from grpc_reflection.v1alpha import reflection

from inventory_service.rpc.auth import Authenticate
from inventory_service.rpc.status import CallFailed, status_of

SERVICE_NAME = reflection.SERVICE_NAME


class ReflectionServicer(reflection.aio.ReflectionServicer):
    """As gRPC has it, for callers that `authenticate` knows; for all where it is None."""

    def __init__(self, services: Iterable[str], authenticate: Authenticate | None) -> None:
        super().__init__(services)
        self._authenticate = authenticate

    async def ServerReflectionInfo(  # type: ignore[override]  # gRPC's types leave out that it is a generator
        self, requests: Any, context: ServicerContext[Any, Any]
    ) -> AsyncIterator[Any]:
        """Answer each request of a stream; UNAUTHENTICATED, or PERMISSION_DENIED for a tenant that may not be used."""
        if self._authenticate is not None:
            try:
                self._authenticate(context)
            except CallFailed as failed:
                await context.abort(*status_of(failed))
        answers: Any = super().ServerReflectionInfo(requests, context)
        async for answer in answers:
            yield answer
