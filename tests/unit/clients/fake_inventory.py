"""A server that gives the replies that a test has set, for tests of the client and the command."""

import threading
import typing
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
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

LOOK_S = 0.02  # between two looks whether a call that hangs has ended
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


Step = Message | ErrorStatus | threading.Event
Reply = Step | list[Step] | Callable[[typing.Any], Step | Iterator[Step]]


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
        self.stop: Callable[[], object] = lambda: None  # end the server, and all its calls
        self.asked: list[typing.Any] = []
        self.deadlines_s: list[float] = []  # of the calls, as they came
        self.metadata: list[dict[str, str | bytes]] = []  # the same
        self.ended: list[typing.Any] = []  # requests whose call has ended, on whichever side
        self._replies: defaultdict[str, deque[typing.Any]] = defaultdict(deque)

    def will_answer(self, method: str, *replies: Reply) -> None:
        """Set replies; a call after the last one gets UNIMPLEMENTED.

        An event makes a call hang until it is set. A list is what a stream sends, an event in it waits before the next
        one. A function makes the reply from the request, or from the requests of a stream as they come.
        """
        self._replies[method].extend(replies)

    def service(self, call: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Message, Message]":
        """The handler of one call, whichever method it names."""
        method = METHODS[call.method]
        read, write = GetMessageClass(method.input_type).FromString, lambda response: response.SerializeToString()

        def answer(request: Message, context: grpc.ServicerContext) -> Message:
            for message in self._steps(method.name, request, context):
                return message
            context.abort(grpc.StatusCode.CANCELLED, "The test has ended.")

        def stream(request: typing.Any, context: grpc.ServicerContext) -> Iterator[Message]:
            return self._steps(method.name, request, context)

        if method.client_streaming:
            return grpc.stream_stream_rpc_method_handler(stream, read, write)
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(stream, read, write)
        return grpc.unary_unary_rpc_method_handler(answer, read, write)

    def _steps(self, method: str, request: typing.Any, context: grpc.ServicerContext) -> Iterator[Message]:
        """What the reply to one call says to do, one after the other."""
        self.deadlines_s.append(context.time_remaining() or 0.0)
        self.metadata.append(dict(context.invocation_metadata()))
        self.asked.append(request)
        if not context.add_callback(lambda: self.ended.append(request)):
            self.ended.append(request)
        waiting = self._replies[method]
        reply = waiting.popleft() if waiting else ErrorStatus(grpc.StatusCode.UNIMPLEMENTED)
        if callable(reply):
            reply = reply(request)
        for step in reply if isinstance(reply, list | Iterator) else [reply]:
            if isinstance(step, threading.Event):
                while context.is_active() and not step.wait(LOOK_S):  # a thread that waits on keeps Python from its end
                    pass
            elif isinstance(step, Message):
                yield step
            else:
                context.set_trailing_metadata(_trailers(step))
                context.abort(step.code, "The sentence of the server.")


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
    server = grpc.server(ThreadPoolExecutor(8), handlers=[fake])
    anywhere = "127.0.0.1:0"
    port = server.add_secure_port(anywhere, credentials) if credentials else server.add_insecure_port(anywhere)
    fake.address = f"127.0.0.1:{port}"
    fake.stop = lambda: server.stop(grace=None).wait()
    server.start()
    yield fake
    fake.stop()
