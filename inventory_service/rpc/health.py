"""The standard health service: what load balancers and other callers ask without a token."""

import asyncio
from typing import Any

import grpc
from grpc.aio import ServicerContext
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICE_NAME = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
Context = ServicerContext[Any, Any]


class HealthServicer(health_pb2_grpc.HealthServicer):
    """The status of each name. A watcher that reads nothing delays no other one, as in gRPC's own it would."""

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {}
        self._changes: set[asyncio.Event] = set()  # one a watcher

    def set(self, name: str, status: int) -> None:
        """Set a status, which its watchers are told of."""
        if self._statuses.get(name) != status:
            self._statuses[name] = status
            for change in self._changes:
                change.set()

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        """The status of one name; NOT_FOUND if there is no such name."""
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no such service.")
        return _response(status)

    async def List(self, _request: Any, _context: Context) -> Any:
        """The statuses of all names."""
        statuses = {name: _response(status) for name, status in self._statuses.items()}
        return health_pb2.HealthListResponse(statuses=statuses)  # type: ignore[attr-defined]  # newer than the types

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:
        """The status of one name, which may be unknown, at once and whenever it has changed; never ends by itself."""
        change, sent = asyncio.Event(), None
        self._changes.add(change)
        try:
            while True:
                change.clear()
                status = self._statuses.get(request.service, _UNKNOWN)
                if status != sent:
                    await context.write(_response(status))
                    sent = status
                await change.wait()
        finally:
            self._changes.discard(change)


def _response(status: int) -> health_pb2.HealthCheckResponse:
    return health_pb2.HealthCheckResponse(status=status)
