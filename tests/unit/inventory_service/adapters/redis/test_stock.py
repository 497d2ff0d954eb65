"""The stock in Redis: which connections its calls take."""

from collections.abc import Sequence
from typing import Any, cast

from inventory_service.adapters.redis.scripts import RedisScripts
from inventory_service.adapters.redis.stock import RedisStock
from inventory_service.domain.change_hold import ChangeHold
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.shards import RedisUnavailable

SALE = SaleKey("default", "lamp-sale")
LAMP = (Line("lamp", 1),)


class NoRedis:
    """Scripts of a Redis that is away: what they were asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def run(self, name: str, shard: int, keys: Sequence[str], arguments: Sequence[Any] = ()) -> list[Any]:
        self.asked.append(name)
        raise RedisUnavailable("away")


async def test_calls_of_a_batcher_never_wait_for_the_connections_of_others() -> None:
    """Reads and calls of operators, however many there are, would else keep a sale's buyers waiting."""
    others, batched = NoRedis(), NoRedis()
    stock = RedisStock(cast(RedisScripts, others), 1, 1000, batched=cast(RedisScripts, batched))

    await stock.reserve_many(0, [Reserve(SALE, "r-1", "b-1", LAMP, None)])
    await stock.move_many(0, [Move(SALE, "r-1", MoveKind.CONFIRM)])
    await stock.change_hold(ChangeHold(SALE, "r-1", LAMP))
    await stock.find_sale(SALE)

    assert (batched.asked, others.asked) == (["reserve", "move", "change_hold"], ["read"])
