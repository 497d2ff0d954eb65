"""Polls the sale and the ledger a few times a second, and measures how far the ledger is behind."""

import time
from collections import deque
from dataclasses import dataclass, field

from holdfast.client import Client
from holdfast.inventory.v1.inventory_service_pb2 import GetSaleResponse
from holdfast.inventory.v1.reservation_pb2 import Position
from holdfast.inventory.v1.sale_pb2 import Item

from holdfast_embedded.demo.ledger_reader import LedgerReader, Watermark


@dataclass
class LedgerLag:
    """How far the ledger is behind Redis: in commits, and in seconds since the oldest of them was seen."""

    commits: int = 0
    seconds: float = 0.0
    max_seconds: float = 0.0
    max_commits: int = 0
    # When each head of the outbox was first seen: (time, (epoch, seq)), for those that the ledger has not applied.
    _unapplied: deque[tuple[float, tuple[int, int]]] = field(default_factory=deque)

    def observe(self, head: Position, watermark: Watermark, now: float) -> None:
        """Record one poll; a commit counts as behind from the moment at which it was first seen at the head."""
        if not self._unapplied or self._unapplied[-1][1] < (head.epoch, head.seq):
            self._unapplied.append((now, (head.epoch, head.seq)))
        while self._unapplied and self._unapplied[0][1] <= (watermark.epoch, watermark.seq):
            self._unapplied.popleft()
        self.commits = max(0, head.seq - watermark.seq) if head.epoch == watermark.epoch else 0
        self.seconds = now - self._unapplied[0][0] if self._unapplied else 0.0
        self.max_commits = max(self.max_commits, self.commits)
        self.max_seconds = max(self.max_seconds, self.seconds)


class SaleMonitor:
    """The sale's item and the ledger's lag as of the last poll."""

    def __init__(self, client: Client, ledger: LedgerReader, sale_id: str) -> None:
        self._client = client
        self._ledger = ledger
        self._sale_id = sale_id
        self.item = Item()
        self.lag = LedgerLag()

    async def poll(self) -> bool:
        """Poll once. True: no unit is held, the ledger has every commit, and no refused order is open."""
        response: GetSaleResponse = await self._client.get_sale(self._sale_id)
        head = response.as_of
        watermark = await self._ledger.watermark(head.shard)
        self.item = response.sale.items[0]
        self.lag.observe(head, watermark, time.monotonic())
        applied = (watermark.epoch, watermark.seq) >= (head.epoch, head.seq)
        return applied and not self.item.held and not await self._ledger.open_refusals(self._sale_id)
