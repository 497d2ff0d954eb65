"""Reflection, which names the services and their messages to a caller that the server knows, whatever its scopes."""

from collections.abc import Iterable
from typing import Any

from grpc.aio import ServicerContext
from grpc_reflection.v1alpha import reflection

from inventory_service.rpc.auth import Authenticate

SERVICE_NAME = reflection.SERVICE_NAME


class ReflectionServicer(reflection.aio.ReflectionServicer):
    """As gRPC has it, for callers that `authenticate` knows; for all where it is None."""

    def __init__(self, services: Iterable[str], authenticate: Authenticate | None) -> None:
        super().__init__(services)
        self._authenticate = authenticate

    async def ServerReflectionInfo(  # type: ignore[override]  # gRPC's types have a method that is no coroutine
        self, requests: Any, context: ServicerContext[Any, Any]
    ) -> None:
        """Answer each request of a stream; CallFailed for a caller without a valid token or of another tenant."""
        if self._authenticate is not None:
            self._authenticate(context)
        answers: Any = super().ServerReflectionInfo(requests, context)
        async for answer in answers:
            await context.write(answer)
