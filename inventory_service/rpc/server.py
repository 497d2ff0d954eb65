"""Listens on the port, reports health, drains and stops."""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Any, NamedTuple

import structlog
from holdfast.inventory.v1 import inventory_admin_service_pb2, inventory_service_pb2
from holdfast.inventory.v1.inventory_admin_service_pb2_grpc import add_InventoryAdminServiceServicer_to_server
from holdfast.inventory.v1.inventory_service_pb2_grpc import add_InventoryServiceServicer_to_server

from holdfast_runtime.ports import exclusive, who_listens
from inventory_service.domain.server_certificate import ServerCertificate
from inventory_service.rpc.accepting import AcceptingServer
from inventory_service.rpc.grpc_threads import made_under_sched_batch
from inventory_service.rpc.health import NOT_SERVING, SERVING, HealthServicer
from inventory_service.rpc.health import SERVICE_NAME as HEALTH
from inventory_service.rpc.middleware import Middleware
from inventory_service.rpc.reflection import SERVICE_NAME as REFLECTION
from inventory_service.rpc.registered import Handler, MethodsByService
from inventory_service.rpc.servicers import AdminServicer, Servicer
from inventory_service.rpc.standard_services import standard_methods
from inventory_service.rpc.tls import server_credentials

LARGEST_MESSAGE = 4 * 1024 * 1024
LARGEST_METADATA = 16 * 1024  # a token may have 8 KiB; by default gRPC refuses some of the calls with that much
CONNECTION_AGE_MS = 300_000  # so that callers find new servers
CONNECTION_GRACE_MS = 300_000  # for what is under way then, which gRPC cuts if it takes longer; no call or stream does
# Clients and proxies ping each ten seconds, so that nothing on the way drops an idle connection; by default gRPC ends
# a connection without calls that is pinged more than once in two hours.
MIN_PING_INTERVAL_MS = 5_000
# Calls of one method that arrived at one server object and were not accepted yet. Above the first number, by default
# 1,000, gRPC ends some as CANCELLED, which leaves their outcome unknown; above the second it ends all. The slots decide
# before.
MOST_PENDING, MOST_PENDING_AT_ALL = 10_000, 20_000
PROBE_INTERVAL_S = 1.0  # between two probes of Redis
FLUSH_S = 1.0  # for responses that are being sent when all calls have ended
LIVENESS = "liveness"  # SERVING as long as the process answers; the other service names follow Redis
SERVICES = (
    inventory_service_pb2.DESCRIPTOR.services_by_name["InventoryService"].full_name,
    inventory_admin_service_pb2.DESCRIPTOR.services_by_name["InventoryAdminService"].full_name,
)
OPTIONS = (
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.max_metadata_size", LARGEST_METADATA),
    ("grpc.max_connection_age_ms", CONNECTION_AGE_MS),
    ("grpc.max_connection_age_grace_ms", CONNECTION_GRACE_MS),
    ("grpc.so_reuseport", 1),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
    ("grpc.server.max_pending_requests", MOST_PENDING),
    ("grpc.server.max_pending_requests_hard_limit", MOST_PENDING_AT_ALL),
)
log = structlog.get_logger()


class StoreHealth(NamedTuple):
    """What a probe of Redis found."""

    is_ready: bool  # it answers, and at least one shard was opened for it
    is_initialized: bool  # for as many shards as this server is set to; another number is a ShardCountMismatch


HealthProbe = Callable[[], Awaitable[StoreHealth]]


class CannotListen(Exception):
    """The address is taken or does not exist; the message says which."""


class Server:
    """Several gRPC server objects on one port and one loop: each of them accepts one call of a method at a time."""

    def __init__(
        self,
        servicer: Servicer,
        admin: AdminServicer,
        middleware: Middleware,
        probe: HealthProbe,
        listeners: int,
        certificate: Callable[[], ServerCertificate] | None = None,
        store_changed: asyncio.Event | None = None,
    ) -> None:
        """`certificate` returns the one that new connections get; without it calls are in plaintext.

        Whatever knows that the store is lost or back sets `store_changed`, so that it is probed at once.
        """
        self._middleware = middleware
        self._certificate = certificate
        self._probe = probe
        self._store_changed = store_changed or asyncio.Event()
        self._health = HealthServicer()
        self._methods = _methods(servicer, admin, middleware, self._health)
        self._listeners = listeners
        self._servers: Sequence[AcceptingServer] = ()
        self._gone_away = asyncio.Event()

    async def start(self, listen: str, *, shared: bool = False) -> str:
        """Listen, and return the address with the real port if it was 0; CannotListen if it is taken.

        With `shared` it may be taken by other servers, which then get a part of the connections each.
        """
        host, _, _ = listen.rpartition(":")
        with made_under_sched_batch():
            self._servers = [AcceptingServer(self._methods, OPTIONS) for _ in range(self._listeners)]
            port = _bind_all(self._servers, listen, shared, self._certificate)
            self._health.set(LIVENESS, SERVING)
            await self._apply_health()
            for server in self._servers:
                await server.start()
        return f"{host}:{port}"

    async def watch(self) -> None:
        """Keep the health service in step with Redis; ends by cancellation or with an exception.

        That is a ShardCountMismatch, or whatever has ended a server object, so that the process is replaced.
        """
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(PROBE_INTERVAL_S):
                    await self._store_changed.wait()
            self._store_changed.clear()
            for server in self._servers:
                server.raise_if_failed()
            await self._apply_health()

    async def drain(self, within_s: float) -> None:
        """Set NOT_SERVING, reject new calls, stop listening and send GOAWAY, finish the calls in flight, then stop."""
        self._middleware.refusals.hold()
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(self._middleware.drain(within_s))
            group.create_task(self._go_away(within_s))
            self._set_health(ready=False)
            log.info("draining", in_flight=self._middleware.in_flight)
            if not await draining:
                log.warning("drain_timeout", in_flight=self._middleware.in_flight, after_s=within_s)
            await self._gone_away.wait()
            await self.stop(FLUSH_S)

    async def _go_away(self, within_s: float) -> None:
        """Stop listening and send GOAWAY to each connection; only then the refusals go out."""
        await self._middleware.refusals.quiet(within_s)
        stopping = asyncio.gather(*(server.stop(within_s + FLUSH_S) for server in self._servers))
        await asyncio.sleep(0)  # each of them has begun, and so GOAWAY goes before what is sent from now on
        self._middleware.refusals.release()
        self._gone_away.set()
        await stopping

    async def stop(self, grace_s: float | None = None) -> None:
        """Stop listening; without a grace period, at once."""
        await asyncio.gather(*(server.stop(grace_s) for server in self._servers))

    async def _apply_health(self) -> None:
        """Probe Redis once. No call is admitted before it has answered: it may have another number of shards."""
        found = await self._probe()
        if found.is_initialized:
            self._middleware.open()
        self._set_health(ready=found.is_ready)

    def _set_health(self, *, ready: bool) -> None:
        for name in ("", *SERVICES):
            self._health.set(name, SERVING if ready else NOT_SERVING)


def _methods(
    servicer: Servicer, admin: AdminServicer, middleware: Middleware, health: HealthServicer
) -> Mapping[str, Handler]:
    """Every method that the server has, by path."""
    own: Any = MethodsByService()  # Any: the generated code's types want a whole server
    add_InventoryServiceServicer_to_server(servicer, own)
    add_InventoryAdminServiceServicer_to_server(admin, own)
    wrapped = {service: middleware.wrap(service, methods) for service, methods in own.items()}
    services = {**wrapped, **standard_methods(health, (*SERVICES, HEALTH, REFLECTION), middleware)}
    return {f"/{service}/{name}": handler for service, methods in services.items() for name, handler in methods.items()}


def _bind_all(
    servers: Sequence[AcceptingServer], listen: str, shared: bool, certificate: Callable[[], ServerCertificate] | None
) -> str:
    """Bind every server to the address; return the port."""
    host, _, port = listen.rpartition(":")
    try:
        with nullcontext() if shared or port == "0" else exclusive(host.strip("[]"), int(port)):
            for server in servers:
                port = str(server.bind(f"{host}:{port}", certificate and server_credentials(certificate)))
    except OSError as error:
        raise cannot_listen(error, int(port)) from error
    except RuntimeError as error:  # all that gRPC says
        raise CannotListen("is it in use?") from error
    return port


def cannot_listen(error: OSError, port: int) -> CannotListen:
    """The same with a message that names who has the port."""
    if error.errno != errno.EADDRINUSE:
        return CannotListen(error.strerror or str(error))
    listener = who_listens(port) or "another process"
    return CannotListen(f"{listener} listens there; HOLDFAST_SHARE_PORT=1 lets servers of one installation share it")
