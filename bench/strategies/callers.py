"""The load: callers who each send one Reserve after another, in a process of their own.

`python -m bench.strategies.callers` reads a `Load` as JSON from its arguments, prints BEGUN once its callers begin, and
in the end an `Outcome` as JSON: a line each. Ten callers share a connection. A caller whose call failed pauses before
the next one, so that a server that is down is not stormed; each call has a reservation id and a buyer of its own.
"""

import asyncio
import json
import sys
import time
from array import array
from collections import Counter
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
BEGUN = "begun"
PAUSE_S = 0.1  # after a failed call
CONNECT_S = 5.0
SOLD_OUT = (REJECTION_REASON_SOLD_OUT, REJECTION_REASON_INSUFFICIENT_STOCK)


@dataclass(frozen=True)
class Load:
    """What to send."""

    address: str
    sale_id: str
    callers: int
    seconds: float
    ramp_s: float = 0.0  # over which the callers begin, one after another
    think_s: float = 0.0  # between a caller's answer and the next call


@dataclass
class Outcome:
    """What the callers were told."""

    accepted: list[str] = field(default_factory=list)  # reservation ids
    sold_out: int = 0
    failures: dict[str, int] = field(default_factory=dict)  # by gRPC status or cause
    seconds: float = 0.0  # from the first call to the last answer
    accepted_ms: list[float] = field(default_factory=list)  # latencies
    sold_out_ms: list[float] = field(default_factory=list)
    client_cpu_s: float = 0.0

    @property
    def answers(self) -> int:
        """Calls that were answered, whether with a unit or not."""
        return len(self.accepted) + self.sold_out


class Callers:
    """Puts a load on a server and notes each answer."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._accepted: list[str] = []
        self._accepted_s, self._sold_out_s = array("d"), array("d")
        self._failures: Counter[str] = Counter()
        self._ends = 0.0

    async def run(self) -> Outcome:
        """The whole load."""
        load, began = self._load, time.monotonic()
        self._ends = began + load.seconds
        print(BEGUN, flush=True)
        lines = [Line(sku=SKU, quantity=1)]
        channels = [Channel(load.address) for _ in range(-(-load.callers // CALLERS_A_CONNECTION))]
        callers = [self._call_on(channels[n % len(channels)], n, lines) for n in range(load.callers)]
        try:
            async with asyncio.timeout(load.seconds + DEADLINE_S + CONNECT_S):
                await asyncio.gather(*callers)
        except TimeoutError:
            self._failures["no answer"] += 1
        return Outcome(
            self._accepted,
            len(self._sold_out_s),
            dict(self._failures),
            time.monotonic() - began,
            [round(second * 1e3, 3) for second in self._accepted_s],
            [round(second * 1e3, 3) for second in self._sold_out_s],
            time.process_time(),
        )

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
            failed = self._note(name, answer, time.monotonic() - began)
            if pause_s := PAUSE_S if failed else load.think_s:
                await asyncio.sleep(pause_s)

    def _note(self, name: str, answer: Answer, lasted_s: float) -> bool:
        """Whether the call failed."""
        if answer.failure:
            self._failures[answer.failure] += 1
            return True
        response = ReserveResponse.FromString(answer.message)
        if response.HasField("reservation"):
            self._accepted.append(name)
            self._accepted_s.append(lasted_s)
            return False
        if response.rejection.reason in SOLD_OUT:
            self._sold_out_s.append(lasted_s)
            return False
        self._failures[RejectionReason.Name(response.rejection.reason)] += 1
        return True


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
    """What a process of callers has printed."""
    return Outcome(**json.loads(printed.splitlines()[-1]))


def main(load: dict[str, Any]) -> None:
    """Run a load and print its outcome."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        json.dump(asdict(runner.run(Callers(Load(**load)).run())), sys.stdout)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
