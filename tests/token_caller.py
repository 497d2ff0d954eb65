"""Calls any method of a server by its name, with a token."""

from functools import partial
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from tests.inventory_server import CallError, call_error, first_answer_to
from tests.methods import METHODS

TIMEOUT_S = 120.0  # also of streams, which some tests keep open throughout


class TokenCaller:
    """A client whose calls all have the same headers."""

    def __init__(self, channel: grpc.aio.Channel, *tokens: str) -> None:
        """A header for each token."""
        self._channel = channel
        self._metadata = [("authorization", f"Bearer {token}") for token in tokens]

    async def answer(self, name: str, **fields: Any) -> Any:
        """The answer to a call with these fields; of a stream, its first message."""
        method = METHODS[name]
        if method.client_streaming:
            stub = partial(self._stub(method), metadata=self._metadata, timeout=TIMEOUT_S)
            return await first_answer_to(stub, GetMessageClass(method.input_type)(**fields))
        call = self.begin(name, **fields)
        if not method.server_streaming:
            return await call
        try:
            return await call.read()
        finally:
            call.cancel()

    def begin(self, name: str, **fields: Any) -> Any:
        """The call itself, which is not waited for."""
        method = METHODS[name]
        request = GetMessageClass(method.input_type)(**fields)
        return self._stub(method)(request, metadata=self._metadata, timeout=TIMEOUT_S)

    async def error(self, name: str, **fields: Any) -> CallError:
        """The error of such a call; AssertionError if it succeeds."""
        try:
            answer = await self.answer(name, **fields)
        except grpc.aio.AioRpcError as error:
            return call_error(error)
        raise AssertionError(f"{name} succeeded: {answer}")

    async def reason(self, name: str, **fields: Any) -> str:
        """The reason of its error, or an empty text if it succeeds."""
        try:
            await self.answer(name, **fields)
        except grpc.aio.AioRpcError as error:
            return call_error(error).reason
        return ""

    def _stub(self, method: MethodDescriptor) -> Any:
        kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
        request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        return getattr(self._channel, kind)(
            f"/{method.containing_service.full_name}/{method.name}", request.SerializeToString, response.FromString
        )
