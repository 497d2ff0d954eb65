"""A server that gives the replies that a test has set, for tests of the client and the command."""

import threading
import typing
from collections import defaultdict, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from holdfast.inventory.v1 import inventory_admin_service_pb2, inventory_service_pb2
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason

METHODS = {
    f"/{service.full_name}/{method.name}": method
    for file in (inventory_service_pb2.DESCRIPTOR, inventory_admin_service_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
    for method in service.methods
}


class ErrorStatus(NamedTuple):
    """A status instead of a response; without details it is one of gRPC's own."""

    code: grpc.StatusCode
    details: tuple[Message, ...] = ()


def error_status(code: grpc.StatusCode, reason: int, *details: Message, **metadata: str) -> ErrorStatus:
    """A status as the service sends it."""
    info = ErrorInfo(reason=ErrorReason.Name(reason), domain="holdfast.inventory", metadata=metadata)
    return ErrorStatus(code, (info, *details))


def unavailable(reason: int, retry_after_s: float = 0.0, **metadata: str) -> ErrorStatus:
    """UNAVAILABLE for a reason, with the pause that the server asks for."""
    pause = RetryInfo()
    pause.retry_delay.FromTimedelta(timedelta(seconds=retry_after_s))
    return error_status(grpc.StatusCode.UNAVAILABLE, reason, pause, **metadata)


def bad_fields(**violations: str) -> ErrorStatus:
    """INVALID_ARGUMENT that names fields."""
    found = [BadRequest.FieldViolation(field=field, description=why) for field, why in violations.items()]
    reason = ErrorReason.ERROR_REASON_FIELD_OUT_OF_BOUNDS
    return error_status(grpc.StatusCode.INVALID_ARGUMENT, reason, BadRequest(field_violations=found))


class FakeInventory(grpc.GenericRpcHandler):
    """Answers each method with the replies that were set for it, in turn, and keeps the requests."""

    def __init__(self) -> None:
        self.address = ""
        self.asked: list[typing.Any] = []
        self.deadlines_s: list[float] = []  # of the calls, as they came
        self.metadata: list[dict[str, str | bytes]] = []  # the same
        self.abandoned: list[typing.Any] = []  # requests whose caller has gone before the reply
        self._replies: defaultdict[str, deque[Message | ErrorStatus | threading.Event]] = defaultdict(deque)

    def will_answer(self, method: str, *replies: Message | ErrorStatus | threading.Event) -> None:
        """Set replies; an event makes a call hang until it is set; a call after the last reply gets UNIMPLEMENTED."""
        self._replies[method].extend(replies)

    def service(self, call: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Message, Message]":
        """The handler of one call, whichever method it names."""
        method = METHODS[call.method]

        def answer(request: Message, context: grpc.ServicerContext) -> Message:
            self.deadlines_s.append(context.time_remaining())
            self.metadata.append(dict(context.invocation_metadata()))
            self.asked.append(request)
            waiting = self._replies[method.name]
            reply = waiting.popleft() if waiting else ErrorStatus(grpc.StatusCode.UNIMPLEMENTED)
            if isinstance(reply, threading.Event):
                context.add_callback(lambda: self.abandoned.append(request))
                reply.wait()
                reply = ErrorStatus(grpc.StatusCode.CANCELLED)
            if isinstance(reply, Message):
                return reply
            context.set_trailing_metadata(_trailers(reply))
            context.abort(reply.code, "The sentence of the server.")

        read = GetMessageClass(method.input_type).FromString
        return grpc.unary_unary_rpc_method_handler(answer, read, lambda response: response.SerializeToString())


def _trailers(reply: ErrorStatus) -> tuple[tuple[str, bytes], ...]:
    if not reply.details:
        return ()
    packed = [Any() for _ in reply.details]
    for any_detail, detail in zip(packed, reply.details, strict=True):
        any_detail.Pack(detail)
    return (("grpc-status-details-bin", Status(code=reply.code.value[0], details=packed).SerializeToString()),)


@contextmanager
def running_fake(credentials: grpc.ServerCredentials | None = None) -> Iterator[FakeInventory]:
    """A fake that listens on loopback, in threads of this process; with credentials by TLS."""
    fake = FakeInventory()
    server = grpc.server(ThreadPoolExecutor(4), handlers=[fake])
    anywhere = "127.0.0.1:0"
    port = server.add_secure_port(anywhere, credentials) if credentials else server.add_insecure_port(anywhere)
    fake.address = f"127.0.0.1:{port}"
    server.start()
    yield fake
    server.stop(grace=None).wait()
