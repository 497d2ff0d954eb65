"""The base of every strategy but Holdfast: the order, connections, and the methods that a strategy has."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import asyncpg
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

SCHEMA = Path(__file__).with_name("schema.sql").read_text()
CONNECTIONS = 20  # of a server to PostgreSQL: more of them only wait longer for the row of one item
REDIS_CONNECTIONS = 50
# asyncpg has the third for a connection that PostgreSQL ended while it was idle.
POSTGRES_ERRORS = (
    *(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError),
    *(OSError, TimeoutError),
)
SETUP_S, COMMAND_S, REDIS_S = 10.0, 5.0, 5.0

Database: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
CREATE = "insert into item (sale_id, sku, total, stock) values ($1, $2, $3, $3) on conflict do nothing"
INSERT = "insert into orders (sale_id, reservation_id, buyer_id, sku, quantity) values ($1, $2, $3, $4, $5)"
INSERT_MANY = """
insert into orders (sale_id, reservation_id, buyer_id, sku, quantity)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
on conflict do nothing"""


@dataclass(frozen=True)
class Order:
    """What one Reserve asks for."""

    sale_id: str
    reservation_id: str
    buyer_id: str
    sku: str
    quantity: int

    @property
    def row(self) -> tuple[str, str, str, str, int]:
        """The values of `INSERT`."""
        return self.sale_id, self.reservation_id, self.buyer_id, self.sku, self.quantity

    @property
    def fields(self) -> dict[str, str]:
        """The fields of an entry of a Redis stream."""
        return {name: str(value) for name, value in asdict(self).items()}

    @classmethod
    def from_fields(cls, fields: dict[str, str]) -> "Order":
        """The order of an entry of a stream."""
        return cls(**{**fields, "quantity": int(fields["quantity"])})  # type: ignore[arg-type]


def columns(orders: Sequence[Order]) -> list[list[str | int]]:
    """The arguments of `INSERT_MANY`."""
    return [list(column) for column in zip(*(order.row for order in orders), strict=True)]


class Strategy(ABC):
    """One way to sell units of an item without selling too many."""

    def __init__(self, database: Database, redis: Redis) -> None:
        self.database = database
        self.redis = redis

    async def create_sale(self, sale_id: str, sku: str, units: int) -> None:
        """Put an item on sale; harmless to repeat. A strategy that counts in Redis sets its counter too."""
        await self.database.execute(CREATE, sale_id, sku, units)

    @abstractmethod
    async def reserve(self, order: Order) -> bool:
        """Sell the units: False if there are not enough. An exception leaves open whether they were sold."""

    async def available(self, sale_id: str, sku: str) -> int:
        """The units that can still be sold, by the counter that decides."""
        stock = await self.database.fetchval("select stock from item where sale_id = $1 and sku = $2", sale_id, sku)
        return int(stock)


async def connect_postgres(dsn: str) -> Database:
    """A pool of connections; each is made when it is first needed, and made anew after PostgreSQL was away."""
    return await asyncpg.create_pool(
        dsn, min_size=0, max_size=CONNECTIONS, timeout=SETUP_S, command_timeout=COMMAND_S, reset=_keep
    )


async def _keep(_connection: object) -> None:
    """Give a connection back as it is: each statement would else be followed by one that resets the session."""


def connect_redis(url: str) -> Redis:
    """A client that repeats no command: the first DECR may have been executed, and only its reply lost.

    A command waits for a connection where none is free; redis-py's own pool fails it then.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=REDIS_CONNECTIONS,
        timeout=REDIS_S,
        decode_responses=True,
        socket_timeout=REDIS_S,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis(connection_pool=pool)
