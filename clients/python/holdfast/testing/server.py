"""The server that tests start: it listens on a free port of this machine, in a thread of its own."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from google.protobuf.message import Message

from holdfast.testing.clock import Clock
from holdfast.testing.construction import Parts, build
from holdfast.testing.failures import FailureOrder, Failures, status_for
from holdfast.testing.running import Running
from inventory_service.domain.keys import BuyerKey, SaleKey

TENANT = "default"  # of every caller: the server asks for no token
_MS = timedelta(milliseconds=1)
Result = TypeVar("Result")


class InventoryServer:
    """Answers every call of both services as a real server does, from memory; begins empty.

    Its clock stands still until `advance`: it shows the moment of the start, or `now`. `retention` is for how long it
    keeps a reservation after its last change in the stock (HOLDFAST_RECORD_RETENTION_S), before the ledger answers.
    Use it as a context manager, `with` or `async with`, or call `start` and `stop`; all methods may be called from any
    thread, and those that change something return once that is done.
    """

    def __init__(
        self, *, now: datetime | None = None, shards: int = 16, retention: timedelta = timedelta(days=1)
    ) -> None:
        self.address = ""  # host:port, once it has started
        self._clock = Clock(now)
        self._shards = shards
        self._retention = retention
        self._failures = Failures()
        self._requests: list[tuple[str, Message]] = []
        self._running: Running | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    def start(self) -> None:
        """Listen; a RuntimeError if it has been started before."""
        if self._running is not None:
            raise RuntimeError("a server can be started once: make another one")
        self._running = Running(self._build)
        self.address = self._running.address

    def stop(self) -> None:
        """End streams and calls, as a server that drains, and stop listening; harmless twice."""
        if self._running is not None:
            self._running.stop()

    # ------------------------------------------------------------------------------------------------ time

    @property
    def now(self) -> datetime:
        """The moment that the server's clock shows."""
        return self._clock.now()

    def advance(self, by: timedelta = timedelta(0), **parts: float) -> datetime:
        """Move the clock on, by a timedelta or by `seconds=`, `minutes=`, `hours=`, `days=`; returns the moment.

        Holds run out, sales start and end, and what is over for long leaves the stock, as it would have meanwhile.
        """
        ms = (by + timedelta(**parts)) // _MS
        if ms < 0:
            raise ValueError("the clock does not go back")
        self._do(lambda running: running.time.advance(ms))
        return self.now

    # -------------------------------------------------------------------------------------------- failures

    def fail_next(
        self,
        method: str,
        failure: str | grpc.StatusCode,
        *,
        times: int = 1,
        after: int = 0,
        done: bool = False,
        delay_s: float = 0.0,
        messages: int = 0,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """Let the next calls of a method fail, `times` of them, behind `after` that are answered as usual.

        `failure` is a reason of the API, such as "SHARD_NOT_SERVING" or "OUTCOME_UNKNOWN", which comes with its code
        and details, or a gRPC code, which comes without any, as from a proxy. With `done` each call is carried out
        before it fails: its answer is lost. `delay_s` are seconds before the failure. A stream fails once it has sent
        so many `messages`. Each attempt of a client is a call; orders of one method are carried out one after another.
        """
        status = status_for(failure, metadata or {}, retry_after_s)
        order = FailureOrder(status, done, delay_s, messages)
        self._do(lambda _: self._failures.add(method, order, times, after))

    def delay_next(self, method: str, delay_s: float, *, times: int = 1, after: int = 0, done: bool = False) -> None:
        """Let the next calls of a method be answered late, by so many seconds.

        With `done` what they ask for is done at once, and only the answer waits: a caller whose deadline ends before
        does not learn of it. Without, a call whose caller has left by then is not carried out.
        """
        order = FailureOrder(None, done, delay_s, 0)
        self._do(lambda _: self._failures.add(method, order, times, after))

    def answer_all(self) -> None:
        """Forget the failures and delays that were ordered and have not come yet."""
        self._do(lambda _: self._failures.clear())

    def requests(self, method: str) -> Sequence[Any]:
        """The requests of a method that have arrived, one for each attempt; none of a stream of requests."""
        return [request for name, request in list(self._requests) if name == method]

    # ---------------------------------------------------------------------------------------------- ledger

    def refuse(self, sale_id: str, reservation_id: str, detail: str = "refused by a test") -> None:
        """Have the ledger refuse an order, whether it is there or comes yet: its units are given back.

        A reservation that comes yet is refused when it is made, one that is held when it is confirmed; it becomes
        COMPENSATED, with a dead letter. A ValueError if it was sold or has ended.
        """
        sale = SaleKey(TENANT, sale_id)
        self._do(lambda running: running.ledger.refusals.name(sale, reservation_id, detail))

    def refuse_buyer(self, buyer_id: str, reason: str = "blocked by a test") -> None:
        """Have the ledger refuse what this buyer reserves or confirms from now on, although the stock grants it.

        So it is for seconds where a block has not reached the stock; UnblockBuyer ends it.
        """
        self._do(lambda running: running.ledger.block(BuyerKey(TENANT, buyer_id), reason))

    def hold_ledger_back(self) -> None:
        """Let the ledger record nothing for now: reads say PENDING, lists lack it, and no order is refused."""
        self._do(lambda running: running.ledger.hold_back())

    def let_ledger_catch_up(self) -> None:
        """Let the ledger record what was done meanwhile, and from now on everything at once."""
        self._do(lambda running: running.ledger.catch_up())

    @contextmanager
    def ledger_held_back(self) -> Iterator[None]:
        """Hold the ledger back for one block."""
        self.hold_ledger_back()
        try:
            yield
        finally:
            self.let_ledger_catch_up()

    def _do(self, act: Callable[[Parts], Result]) -> Result:
        if self._running is None:
            raise RuntimeError("the server has not started")
        return self._running.do(act)

    def _build(self) -> Parts:
        return build(self._clock, self._failures, self._receive, self._shards, self._retention)

    def _receive(self, method: str, request: Any) -> None:
        if isinstance(request, Message):
            self._requests.append((method, request))
