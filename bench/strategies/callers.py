"""The load: callers who each send one Reserve after another, in a process of their own.

`python -m bench.strategies.callers` reads a `SaleLoad` as JSON from its arguments, prints a line once it is ready,
waits for a line, and prints an `Outcome` as JSON in the end. Ten callers share a connection. A caller whose call failed
pauses before the next one, so that a server that is down is not stormed; each call has a reservation id and a buyer of
its own.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import uvloop
from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest, ReserveResponse
from holdfast.inventory.v1.reservation_pb2 import (
    REJECTION_REASON_INSUFFICIENT_STOCK,
    REJECTION_REASON_SOLD_OUT,
    Line,
    RejectionReason,
)
from holdfast_bench.load import METHOD, SKU

from bench.strategies.http2 import DEADLINE_S, Answer, Connection

CALLERS_A_CONNECTION = 10
PAUSE_S = 0.1  # after a failed call
CONNECT_S = 5.0
READY = "ready"
NO_ANSWER = "no answer"
SOLD_OUT = (REJECTION_REASON_SOLD_OUT, REJECTION_REASON_INSUFFICIENT_STOCK)


@dataclass(frozen=True)
class SaleLoad:
    """What to send."""

    address: str
    sale_id: str
    callers: int
    seconds: float
    ramp_s: float = 0.0  # over which the callers begin, one after another
    think_s: float = 0.0  # between a caller's answer and the next call
    # Unless it is 0, `seconds` begin when a caller first hears that the sale is sold out, within so many seconds.
    sell_out_within_s: float = 0.0

    @property
    def most_s(self) -> float:
        """How long it lasts at most, calls in flight at its end apart."""
        return self.sell_out_within_s + self.seconds


@dataclass
class Outcome:
    """What the callers were told."""

    accepted: list[str] = field(default_factory=list)  # reservation ids
    accepted_ms: list[float] = field(default_factory=list)  # latencies
    sold_out_ms: list[float] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)  # by gRPC status or cause
    seconds: float = 0.0  # from the first call to the last answer
    sold_out_after_s: float | None = None  # when a caller first heard it

    @property
    def answers(self) -> int:
        """Calls that were answered, whether with a unit or not."""
        return len(self.accepted) + len(self.sold_out_ms)

    def count_failure(self, why: str) -> None:
        """One more call that was not answered."""
        self.failures[why] = self.failures.get(why, 0) + 1


class Callers:
    """Puts a load on a server and notes each answer."""

    def __init__(self, load: SaleLoad) -> None:
        self._load = load
        self._outcome = Outcome()
        self._began = self._ends = 0.0

    async def run(self) -> Outcome:
        """The whole load."""
        load, outcome = self._load, self._outcome
        self._began = time.monotonic()
        self._ends = self._began + (load.sell_out_within_s or load.seconds)
        lines = [Line(sku=SKU, quantity=1)]
        channels = [Channel(load.address) for _ in range(-(-load.callers // CALLERS_A_CONNECTION))]
        calls = (self._call_on(channels[n % len(channels)], n, lines) for n in range(load.callers))
        await self._wait([asyncio.create_task(call) for call in calls])
        outcome.seconds = time.monotonic() - self._began
        return outcome

    async def _wait(self, callers: list["asyncio.Task[None]"]) -> None:
        """Until each has ended, or has waited for an answer longer than the server may take."""
        ended, unanswered = await asyncio.wait(callers, timeout=self._load.most_s + DEADLINE_S + CONNECT_S)
        for _ in unanswered:
            self._outcome.count_failure(NO_ANSWER)
        for caller in ended:
            caller.result()  # raises what a caller has raised

    async def _call_on(self, channel: "Channel", caller: int, lines: list[Line]) -> None:
        """One caller."""
        load = self._load
        await asyncio.sleep((load.ramp_s + load.think_s) * caller / load.callers)
        number = 0
        while (began := time.monotonic()) < self._ends:
            number += 1
            name = f"{caller}-{number}"
            request = ReserveRequest(sale_id=load.sale_id, reservation_id=name, buyer_id=name, lines=lines)
            answer = await channel.call(request.SerializeToString())
            if failure := self._note(name, answer, round((time.monotonic() - began) * 1e3, 3)):
                self._outcome.count_failure(failure)
            if pause_s := PAUSE_S if failure else load.think_s:
                await asyncio.sleep(pause_s)

    def _note(self, name: str, answer: Answer, lasted_ms: float) -> str:
        """Why the call failed; empty if it was answered."""
        if answer.failure:
            return answer.failure
        response = ReserveResponse.FromString(answer.message)
        if not response.HasField("reservation") and response.rejection.reason not in SOLD_OUT:
            return RejectionReason.Name(response.rejection.reason)
        if response.HasField("reservation"):
            self._outcome.accepted.append(name)
            self._outcome.accepted_ms.append(lasted_ms)
        else:
            self._outcome.sold_out_ms.append(lasted_ms)
            self._heard_sold_out()
        return ""

    def _heard_sold_out(self) -> None:
        if self._outcome.sold_out_after_s is None:
            self._outcome.sold_out_after_s = time.monotonic() - self._began
            if self._load.sell_out_within_s:
                self._ends = time.monotonic() + self._load.seconds


class Channel:
    """A connection that is made anew once it is lost."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()

    async def call(self, message: bytes) -> Answer:
        """One call."""
        connection = self._connection
        if connection is None or connection.lost:
            try:
                connection = await self._connect()
            except (OSError, TimeoutError):
                return Answer(b"", "no connection")
        return await connection.call(message)

    async def _connect(self) -> Connection:
        """A new connection, unless another caller has made one meanwhile."""
        async with self._connecting, asyncio.timeout(CONNECT_S):
            if self._connection is None or self._connection.lost:
                host, _, port = self._address.rpartition(":")
                loop = asyncio.get_running_loop()
                made = lambda: Connection(self._address, METHOD)  # noqa: E731
                _, self._connection = await loop.create_connection(made, host, int(port))
            return self._connection


def outcome_from(printed: str) -> Outcome:
    """What a process of callers has printed in the end."""
    return Outcome(**json.loads(printed.splitlines()[-1]))


def main(load: dict[str, Any]) -> None:
    """Run a load when told to, and print its outcome."""
    print(READY, flush=True)
    sys.stdin.readline()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(asdict(runner.run(Callers(SaleLoad(**load)).run()))))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
