"""Ends the streams that are open whose tokens were revoked or are over, or whose certificates stand for another caller.

Each is checked when a stream begins. One timer then looks at all streams that are open, so it costs calls nothing.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeAlias

import structlog
from grpc.aio import ServicerContext
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.caller import Caller
from inventory_service.domain.results import Failure
from inventory_service.domain.revocations import Revocations
from inventory_service.domain.tokens import Problem, TokenRejected
from inventory_service.rpc.auth import current_caller
from inventory_service.rpc.status import CallFailed
from inventory_service.rpc.token_failures import token_failure

INTERVAL_S = 0.5  # a server hears of a revocation within 0.25 s, and each stream ends within a second of it

log = structlog.get_logger()
Behaviour = Callable[[Any, ServicerContext[Any, Any]], Awaitable[Any]]
Stream: TypeAlias = "asyncio.Task[Any]"


class StreamTokens:
    """The streams of a process that callers with tokens or certificates have open."""

    def __init__(
        self,
        revocations: Revocations,
        clock: Callable[[], float] = time.time,
        is_withdrawn: Callable[[Caller], bool] = lambda _caller: False,
    ) -> None:
        """`is_withdrawn` tells whether a caller's certificate no longer stands for it."""
        self._revocations = revocations
        self._clock = clock
        self._is_withdrawn = is_withdrawn
        self._open: dict[Stream, Caller] = {}
        self._ended: dict[Stream, Failure] = {}  # by this
        self._generation = revocations.generation  # of the last look
        self._timer_is_set = False  # which calls `_look`

    def checked(self, behaviour: Behaviour) -> Behaviour:
        """The behaviour of a method, which then fails with TOKEN_REVOKED or TOKEN_INVALID as soon as it has to."""

        @wraps(behaviour)
        async def run(request: Any, context: ServicerContext[Any, Any]) -> Any:
            stream = asyncio.current_task()
            assert stream is not None, "gRPC runs each call in a task"
            self._open[stream] = current_caller.get()
            self._set_timer()
            try:
                return await behaviour(request, context)
            except asyncio.CancelledError:
                # The behaviour has ended what it began, so nothing is written after the status.
                if stream not in self._ended or stream.uncancel() > 0:
                    raise
                _log(self._ended[stream])
                raise CallFailed(self._ended[stream]) from None
            finally:
                self._open.pop(stream, None)
                self._ended.pop(stream, None)

        return run

    def _set_timer(self) -> None:
        if not self._timer_is_set:
            self._timer_is_set = True
            asyncio.get_running_loop().call_later(INTERVAL_S, self._look)

    def _look(self) -> None:
        """End what has to; a caller that was not revoked before is asked about only once more tokens are."""
        self._timer_is_set = False
        now_s, may_be_revoked = self._clock(), self._generation != self._revocations.generation
        self._generation = self._revocations.generation
        for stream, caller in list(self._open.items()):
            if may_be_revoked and self._revocations.revoked(caller):
                self._end(stream, Failure(reasons.ERROR_REASON_TOKEN_REVOKED))
            elif now_s >= caller.expires_at:
                self._end(stream, token_failure(TokenRejected(Problem.EXPIRED)))
            elif self._is_withdrawn(caller):
                self._end(stream, token_failure(TokenRejected(Problem.UNKNOWN_CERTIFICATE)))
        if self._open:
            self._set_timer()

    def _end(self, stream: Stream, failure: Failure) -> None:
        del self._open[stream]
        self._ended[stream] = failure
        stream.cancel()


def _log(failure: Failure) -> None:
    """Tokens that end are many, and those that are revoked are few."""
    problem = failure.metadata.get("problem", "revoked")
    write = log.debug if problem == Problem.EXPIRED else log.info
    write("stream_ended", problem=problem, **current_caller.get().named)
