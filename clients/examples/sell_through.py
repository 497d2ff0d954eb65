"""Counts what is sold of each item in each minute: a windowed Faust table over the facts, printed as JSON lines."""

import json
import os
import sys
import tempfile
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import faust
from faust.types import TP, EventT, FutureMessage
from holdfast.inventory.v1.events_pb2 import ReservationFact, UnitsMoved

FACTS = "holdfast.orders.v1"
NAME = "sell-through"  # of the consumer group, and in the name of the changelog: `sell-through-units-changelog`
WINDOW_S = 60
PRINT_INTERVAL_S = 1.0


class ConfirmedTable(faust.Table[Any, Any]):
    """A table that says which of its changes Kafka may not have yet, for Faust commits whether it has them or not."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.unconfirmed: list[FutureMessage] = []

    def send_changelog(self, *args: Any, **options: Any) -> FutureMessage:
        self.unconfirmed.append(sent := super().send_changelog(*args, **options))
        return sent

    def take_unconfirmed(self) -> Sequence[FutureMessage]:
        """The changes since the last call."""
        taken, self.unconfirmed = self.unconfirmed, []
        return taken


class OrderedAcks:
    """Acknowledges facts once the changelog has what they changed, in order: Faust may commit past one left behind."""

    def __init__(self) -> None:
        self._waiting: defaultdict[TP, deque[tuple[EventT[Any], Sequence[FutureMessage]]]] = defaultdict(deque)

    def add(self, event: EventT[Any], changes: Sequence[FutureMessage]) -> None:
        self._waiting[event.message.tp].append((event, changes))
        for change in changes:
            change.add_done_callback(lambda _: self._acknowledge(event.message.tp))
        self._acknowledge(event.message.tp)

    def _acknowledge(self, partition: TP) -> None:
        waiting = self._waiting[partition]
        while waiting and all(change.done() for change in waiting[0][1]):
            event, changes = waiting.popleft()
            if failed := [change.exception() for change in changes if change.exception()]:
                end(f"the changelog took no record: {failed[0]!r}")
            event.ack()


class SellThrough:
    """The table, and what of it has changed since it was last printed.

    A value has the units `sold` and those that `came_back`, and the `position` of the last fact that it counts. All are
    one record of the changelog, so a fact that is read again changes nothing.
    """

    def __init__(self, app: faust.App, partitions: int) -> None:
        self.table: Any = app.Table("units", default=dict, partitions=partitions)
        self._windows: Any = self.table.tumbling(WINDOW_S)
        self._changed: dict[Any, Mapping[str, Any]] = {}

    def count(self, value: bytes) -> None:
        """Count the units that a fact moved; DecodeError for a value that no persister wrote."""
        fact = ReservationFact.FromString(value)
        position = [fact.position.epoch, fact.position.seq, fact.position.index]
        for moved in fact.moved:
            if moved.sold:
                self._add((fact.tenant, fact.reservation.sale_id, moved.sku), fact.time.ToSeconds(), position, moved)

    def _add(self, item: tuple[str, str, str], time_s: int, position: list[int], moved: UnitsMoved) -> None:
        window = self._windows.relative_to(float(time_s))  # by the fact's own time: when the unit was sold
        counted = window[item].value() or {"sold": 0, "came_back": 0, "position": []}
        if position > counted["position"]:
            window[item] = {
                "sold": counted["sold"] + max(moved.sold, 0),
                "came_back": counted["came_back"] + max(-moved.sold, 0),
                "position": position,
            }
            self._changed[item, time_s // WINDOW_S * WINDOW_S] = window[item].value()

    async def recovered(self) -> None:
        """All that the changelog holds is printed once after a start: the last run may not have come to it."""
        self._changed |= {(item, int(start)): value for (item, (start, _)), value in self.table.data.items()}

    async def print_changed(self) -> None:
        """A line has all of its window: it takes the place of earlier ones."""
        changed, self._changed = self._changed, {}
        for ((tenant, sale, sku), start), value in changed.items():
            window = {"tenant": tenant, "sale": sale, "sku": sku, "minute": datetime.fromtimestamp(start, UTC)}
            units = {"sold": value["sold"], "came_back": value["came_back"]}
            print(json.dumps({**window, **units}, default=datetime.isoformat), flush=True)


def new_app(environment: Mapping[str, str]) -> faust.App:
    """The app of a Holdfast that these variables describe, as its own processes read them."""
    prefix, shards = environment.get("HOLDFAST_KAFKA_PREFIX", ""), int(environment.get("HOLDFAST_SHARDS", "16"))
    brokers = environment.get("HOLDFAST_KAFKA_BROKERS", "127.0.0.1:9092")
    session_s = float(environment.get("HOLDFAST_KAFKA_SESSION_TIMEOUT_S", "10"))
    app = faust.App(
        prefix + NAME,
        broker=[f"kafka://{broker}" for broker in brokers.split(",")],
        Table=ConfirmedTable,
        store="memory://",
        datadir=os.path.join(tempfile.gettempdir(), NAME),  # Faust wants one; nothing is written there
        topic_partitions=shards,
        topic_allow_declare=False,  # the changelog is made once, with the copies that your cluster needs
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        stream_wait_empty=True,
        broker_session_timeout=session_s,
        broker_heartbeat_interval=session_s / 3,
        broker_commit_interval=0.5,
        producer_acks=-1,
        web_enabled=False,
    )
    facts = app.topic(prefix + FACTS, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    sell_through, acks = SellThrough(app, shards), OrderedAcks()
    sell_through.table.on_recover(sell_through.recovered)
    app.timer(PRINT_INTERVAL_S)(sell_through.print_changed)

    @app.agent(facts)
    async def count(stream: Any) -> None:
        async for event in stream.noack().events():
            try:
                sell_through.count(event.value)
            except Exception as error:  # noqa: BLE001  # Faust would go on behind it, and commit past it
                end(f"{event.message.tp} offset {event.message.offset}: {error!r}")
            acks.add(event, sell_through.table.take_unconfirmed())

    return app


def end(why: str) -> None:
    """End the process at once, so that nothing more is committed: the next one reads again what this one did not do."""
    print(f"sell-through: {why}", file=sys.stderr, flush=True)
    os._exit(1)


if __name__ == "__main__":
    worker = faust.Worker(new_app(os.environ), loglevel="WARNING", stdout=sys.stderr, redirect_stdouts=False)
    worker.execute_from_commandline()
