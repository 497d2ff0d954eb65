"""Looks at the sale and at the ledger a few times a second, and tells how far one is behind the other."""

import time
from collections import deque
from dataclasses import dataclass, field

from holdfast.client import Client
from holdfast.inventory.v1.inventory_service_pb2 import GetSaleResponse
from holdfast.inventory.v1.reservation_pb2 import Position
from holdfast.inventory.v1.sale_pb2 import Item

from holdfast_embedded.demo.books import Books, Watermark


@dataclass
class Lag:
    """How far the ledger is behind: how many commits, and for how long already."""

    commits: int = 0
    seconds: float = 0.0
    longest_s: float = 0.0
    most_commits: int = 0
    _unwritten: deque[tuple[float, tuple[int, int]]] = field(default_factory=deque)  # when which head was first seen

    def saw(self, head: Position, mark: Watermark, now: float) -> None:
        """Take in one look; a commit is late from the moment at which it was first seen at the head."""
        if not self._unwritten or self._unwritten[-1][1] < (head.epoch, head.seq):
            self._unwritten.append((now, (head.epoch, head.seq)))
        while self._unwritten and self._unwritten[0][1] <= (mark.epoch, mark.seq):
            self._unwritten.popleft()
        self.commits = max(0, head.seq - mark.seq) if head.epoch == mark.epoch else 0
        self.seconds = now - self._unwritten[0][0] if self._unwritten else 0.0
        self.most_commits = max(self.most_commits, self.commits)
        self.longest_s = max(self.longest_s, self.seconds)


class Watch:
    """The sale and its ledger, as last seen."""

    def __init__(self, client: Client, books: Books, sale_id: str) -> None:
        self._client = client
        self._books = books
        self._sale_id = sale_id
        self.item = Item()
        self.lag = Lag()

    async def look(self) -> bool:
        """Look once. True: nothing is held, the ledger has everything, and no refused order is open."""
        seen: GetSaleResponse = await self._client.get_sale(self._sale_id)
        mark = await self._books.watermark(seen.as_of.shard)
        self.item = seen.sale.items[0]
        self.lag.saw(seen.as_of, mark, time.monotonic())
        written = (mark.epoch, mark.seq) >= (seen.as_of.epoch, seen.as_of.seq)
        return written and not self.item.held and not await self._books.open_refusals(self._sale_id)
