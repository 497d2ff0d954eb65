"""A server on real stores for tests, in this process or in one of its own; shards are opened without a relay."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.inventory_admin_service_pb2_grpc import InventoryAdminServiceStub
from holdfast.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from holdfast.inventory.v1.reservation_pb2 import Line, Reservation
from holdfast.inventory.v1.sale_pb2 import Item
from prometheus_client import CollectorRegistry

from holdfast_runtime.instruments import Instruments
from holdfast_runtime.retry import Outages
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.domain.heads import ObservedHeads
from inventory_service.metrics import FileMetrics
from inventory_service.settings import Settings
from inventory_service.wiring.authentication import token_keys
from inventory_service.wiring.serve import build_server, token_revocations
from inventory_service.wiring.tls import tls_of
from tests.fences import fenced
from tests.waiting import eventually

if TYPE_CHECKING:  # they are in the stubs' types alone
    from holdfast.inventory.v1.inventory_admin_service_pb2_grpc import InventoryAdminServiceAsyncStub
    from holdfast.inventory.v1.inventory_service_pb2_grpc import InventoryServiceAsyncStub

Kind = TypeVar("Kind", bound=Message)
Answer = TypeVar("Answer", bound=Message)
SHARDS = 2
START_S = 90.0
STOP_S = 30.0
CODES = {code.value[0]: code for code in grpc.StatusCode}
UNREACHABLE_DSN = "postgresql://127.0.0.1:1/nowhere"
# A Redis that was halted for more than a second is not asked for a moment; one that was for five has perhaps done it.
SLOW = ("STORE_UNREACHABLE", "OUTCOME_UNKNOWN")


class Caller(NamedTuple):
    """A client of a server."""

    channel: grpc.aio.Channel
    stock: "InventoryServiceAsyncStub"
    admin: "InventoryAdminServiceAsyncStub"

    async def create_sale(self, sale_id: str = "lamp-sale", units: int = 10, **settings: Any) -> None:
        sale: dict[str, Any] = {"sale_id": sale_id, "items": [Item(sku="lamp", total=units)], **settings}
        await until_judged(lambda: self.admin.CreateSale(admin.CreateSaleRequest(sale=sale)))

    async def reserve(self, name: str, quantity: int = 1, sale_id: str = "lamp-sale") -> calls.ReserveResponse:
        return await self.stock.Reserve(reserve_request(name, quantity, sale_id))


def reserve_request(name: str, quantity: int = 1, sale_id: str = "lamp-sale") -> calls.ReserveRequest:
    line = Line(sku="lamp", quantity=quantity)
    return calls.ReserveRequest(sale_id=sale_id, reservation_id=name, buyer_id=f"buyer-{name}", lines=[line])


async def until_judged(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """The answer to a call, which is repeated while Redis does not answer it in time, and for no other error.

    A server process waits for Redis for a second, and a busy disk may need longer for a write.
    """

    async def is_judged() -> Answer | None:
        """Redis has answered."""
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if "grpc-status-details-bin" in dict(error.trailing_metadata() or ()) and call_error(error).reason in SLOW:
                return None
            raise

    return await eventually(is_judged)


async def open_shards(redis_url: str, shards: int = SHARDS, epoch: int = 1, *, also_serving: bool = False) -> None:
    """Open blank shards as `init` would, or those of a restarted Redis as a take-over would, were there a ledger."""
    connections = connections_to(redis_url)
    store = RedisShards(connections)
    for shard in range(shards):
        takeover = await store.begin_takeover(shard, "test", epoch - 1, also_serving)
        assert not isinstance(takeover, str), takeover
        assert await store.adopt(takeover, fenced(takeover, epoch, shards))
    await connections.close()


@asynccontextmanager
async def calling(
    address: str,
    *options: tuple[str, int],
    credentials: grpc.ChannelCredentials | None = None,
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
) -> AsyncIterator[Caller]:
    """A client with a connection of its own, in plaintext unless it has credentials."""
    all_options = [("grpc.use_local_subchannel_pool", 1), *options]
    if credentials is None:
        channel = grpc.aio.insecure_channel(address, options=all_options, interceptors=interceptors)
    else:
        channel = grpc.aio.secure_channel(address, credentials, options=all_options, interceptors=interceptors)
    async with channel:
        yield Caller(channel, InventoryServiceStub(channel), InventoryAdminServiceStub(channel))


@asynccontextmanager
async def running_server(redis_url: str, dsn: str, **changed: Any) -> AsyncIterator[str]:
    """A server in this process: its address. It asks for tokens and certificates if the settings name files."""
    settings = Settings(redis_url=redis_url, postgres_dsn=dsn, shards=SHARDS, listeners=2, **changed)
    registry = CollectorRegistry()
    instruments, files = Instruments(registry, Outages(registry)), FileMetrics(registry)
    tls, keys = tls_of(settings, files), token_keys(settings, files.show_ok)
    ledger = LedgerPool(dsn)
    revocations = token_revocations(settings, instruments, ledger)
    server = build_server(settings, instruments, ledger, ObservedHeads(), revocations, tls, keys)
    watching = [asyncio.create_task(watch()) for watch in tls.watches()]
    yield await server.start("127.0.0.1:0")
    await server.stop()
    for task in watching:
        task.cancel()


class ServerProcess(NamedTuple):
    """A server in a process of its own."""

    process: asyncio.subprocess.Process
    address: str
    metrics_url: str

    def terminate(self) -> None:
        self.process.terminate()

    async def ended(self) -> int:
        """Wait until it ends by itself; return its exit code."""
        return await asyncio.wait_for(self.process.wait(), STOP_S)


@asynccontextmanager
async def running_server_process(redis_url: str, dsn: str, **changed: str) -> AsyncIterator[ServerProcess]:
    """`python -m inventory_service serve`; killed at the end if it has not ended."""
    process = await _start("serve", HOLDFAST_REDIS_URL=redis_url, HOLDFAST_POSTGRES_DSN=dsn, **changed)
    assert process.stderr is not None
    try:
        output = await asyncio.wait_for(_read_until_listening(process.stderr), START_S)
        address, url = (re.search(rf"{word}=(\S+)", output) for word in ("address", "url"))
        assert address is not None, output
        assert url is not None, output
        drained = asyncio.create_task(process.stderr.read())  # so that its pipe never fills up
        yield ServerProcess(process, address[1], url[1])
        drained.cancel()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def run_process(process: str, *options: str, **changed: str) -> tuple[int, list[str]]:
    """Run a process to its end; return its exit code and the lines that it printed."""
    started = await _start(process, *options, **changed)
    output, log = await asyncio.wait_for(started.communicate(), START_S)
    assert started.returncode is not None
    return started.returncode, (output + log).decode().splitlines()


async def _start(process: str, *options: str, **changed: str) -> asyncio.subprocess.Process:
    environment = {
        **os.environ,
        "HOLDFAST_POSTGRES_DSN": UNREACHABLE_DSN,
        "HOLDFAST_KAFKA_BROKERS": "127.0.0.1:1",
        "HOLDFAST_START_WAIT_S": "0",
        "HOLDFAST_SHARDS": str(SHARDS),
        "HOLDFAST_LISTEN": "127.0.0.1:0",
        "HOLDFAST_METRICS_LISTEN": "127.0.0.1:0",
        **changed,
    }
    command, pipe = (sys.executable, "-m", "inventory_service", process, *options), asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)


async def _read_until_listening(stream: asyncio.StreamReader) -> str:
    output = ""
    while not re.search(r"\blistening\b", output):  # `worker_listening` is of one worker
        line = await stream.readline()
        assert line, f"the server ended: {output}"
        output += line.decode()
    return output


async def first_answer_to(stream: Any, request: Any) -> Any:
    """Send one message in a new stream, and wait for the first answer.

    If the stream ends before its first message was written, Python's client has lost the status: it is asked again.
    """
    while True:
        call = stream(iter([request]))
        try:
            answer = await call.read()
            call.cancel()
            return answer
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.INTERNAL:
                raise


class CallError(NamedTuple):
    """An error of Holdfast's gRPC API, with its details unpacked."""

    code: grpc.StatusCode
    reason: str
    metadata: dict[str, str]
    fields: list[str]
    retries: bool
    reservation: Reservation | None


async def error_of(call: Awaitable[Any]) -> CallError:
    """The error of a call; AssertionError if the call succeeds or its status has no ErrorInfo."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return call_error(error)
    raise AssertionError(f"the call succeeded: {answer}")


def call_error(error: grpc.aio.AioRpcError) -> CallError:
    """Unpack the details of a status; AssertionError if it has no ErrorInfo of Holdfast."""
    trailers = dict(error.trailing_metadata() or ())
    assert "grpc-status-details-bin" in trailers, f"not a status of Holdfast: {error}"
    raw = trailers["grpc-status-details-bin"]
    assert isinstance(raw, bytes)
    found = status_error(status_pb2.Status.FromString(raw))
    assert found.code is error.code()
    return found


def status_error(status: status_pb2.Status) -> CallError:
    """The same of a status that is the result of one of many requests."""
    details = status.details
    info = _detail(details, error_details_pb2.ErrorInfo)
    assert info is not None, "a status of Holdfast has an ErrorInfo"
    assert info.domain == "holdfast.inventory"
    bad = _detail(details, error_details_pb2.BadRequest) or error_details_pb2.BadRequest()
    return CallError(
        code=CODES[status.code],
        reason=info.reason.removeprefix("ERROR_REASON_"),
        metadata=dict(info.metadata),
        fields=[violation.field for violation in bad.field_violations],
        retries=_detail(details, error_details_pb2.RetryInfo) is not None,
        reservation=_detail(details, Reservation),
    )


def _detail(details: Any, kind: type[Kind]) -> Kind | None:
    """The detail of this type, if there is one."""
    message = kind()
    return message if any(packed.Unpack(message) for packed in details) else None
