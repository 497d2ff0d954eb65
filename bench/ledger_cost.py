"""What the persister's own Python costs a reservation, step by step: CPU of tight loops in one process.

Neither Kafka nor Postgres runs. The commits are those of `bench.persister_drain`: half of the reservations are
confirmed and a tenth released, in records of 250,000 bytes.
"""

import gc
import sys
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from bench.arguments import parser_of
from bench.backlog import History
from bench.machine import machine_and_commit
from order_persister.domain.chain import KafkaRecord, Watermark, deliveries_from, plan_apply
from order_persister.domain.facts import order_facts
from order_persister.domain.fold import orders_from
from order_persister.domain.refusals import buyers_to_check, refusals_before_writing
from order_persister.domain.rows import final_rows
from order_persister.domain.transfers import deltas_from, entries_from_orders
from order_persister.wiring.persist import GC_THRESHOLDS

BATCH = 32
CONFIRMED, RELEASED = 0.5, 0.1

Result = TypeVar("Result")


class Steps:
    """Runs each step several times, and keeps the least CPU that it took."""

    def __init__(self, times: int) -> None:
        self._times = times
        self.cpu_s: dict[str, float] = {}

    def take(self, name: str, step: Callable[[], Result]) -> Result:
        """The step's result."""
        for _ in range(self._times):
            began = time.process_time()
            result = step()
            self.cpu_s[name] = min(time.process_time() - began, self.cpu_s.get(name, float("inf")))
        return result


def main() -> int:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--reservations", type=int, default=20_000, help="(%(default)s)")
    parser.add_argument("--times", type=int, default=7, help="that each step runs (%(default)s)")
    arguments = parser.parse_args()
    gc.set_threshold(*GC_THRESHOLDS)
    history = History(0, BATCH)
    history.make(arguments.reservations, CONFIRMED, RELEASED)
    steps = Steps(arguments.times)
    run(steps, history)
    print(machine_and_commit())
    print("\n".join(table(steps, arguments.reservations)))
    return 0


def run(steps: Steps, history: History) -> None:
    """Every step that a reservation passes, from the bytes of a record to its rows and facts."""
    records = [KafkaRecord(0, offset, value) for offset, value in enumerate(history.records())]
    delivery = steps.take("unpack records", lambda: deliveries_from(records))[0]
    plan = steps.take("check the chain, decode commits", lambda: plan_apply(Watermark(1, 0, ""), delivery.received, {}))
    orders = steps.take("fold into orders", lambda: orders_from(plan.accepted)).values()
    steps.take("find what is refused", lambda: (buyers_to_check(orders), refusals_before_writing(orders, {}, {})))
    steps.take("make rows", lambda: final_rows(orders, {}))
    steps.take("make transfers", lambda: deltas_from(list(entries_from_orders(orders, {}))))
    steps.take("make facts", lambda: list(order_facts(0, plan.accepted, {})))


def table(steps: Steps, reservations: int) -> Iterator[str]:
    """us of CPU a reservation."""
    yield "| step | us |"
    yield "|---|---|"
    for name, cpu_s in (*steps.cpu_s.items(), ("together", sum(steps.cpu_s.values()))):
        yield f"| {name} | {cpu_s / reservations * 1e6:.2f} |"


if __name__ == "__main__":
    sys.exit(main())
