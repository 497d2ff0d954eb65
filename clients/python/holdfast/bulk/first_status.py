"""The status with which a server ended a stream, where gRPC's own hides it."""

from collections.abc import Coroutine
from typing import Any

import grpc
from grpc import aio


class FirstStatus:
    """Keeps the first status of a call on which both sides write.

    Where a message was being written as the call ended, gRPC replaces its status by an INTERNAL of its own, which has
    no reason; and at times the INTERNAL comes first, and the status replaces it.
    """

    def __init__(self, call: aio.Call) -> None:
        self._failure: aio.AioRpcError | None = None
        call.add_done_callback(self._note)

    def instead_of(self, failure: aio.AioRpcError) -> aio.AioRpcError:
        """The failure that the server gave, for the one that gRPC raised."""
        return self._failure if self._failure and failure.code() is grpc.StatusCode.INTERNAL else failure

    def _note(self, call: aio.Call) -> None:
        code, details, trailers = (_now(one) for one in (call.code(), call.details(), call.trailing_metadata()))
        if isinstance(code, grpc.StatusCode) and code is not grpc.StatusCode.OK:
            self._failure = aio.AioRpcError(code, aio.Metadata(), trailers or aio.Metadata(), details)


def _now(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that has nothing to wait for: the call is done."""
    try:
        coroutine.send(None)
    except StopIteration as returned:
        return returned.value
    coroutine.close()
    return None
