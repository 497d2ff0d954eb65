"""Dumps Redis and the ledger as text that every version of the servers accepts, and loads it again.

Redis is kept as its own commands, one a line, in the quotes that redis-cli reads; the ledger as SQL, its tables as the
migrations made them.
"""

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import asyncpg
from redis.asyncio import Redis

from order_persister.adapters.ledger.migrator import migrations

BytesRedis = Any  # redis-py's types are neither bytes nor text
_PLAIN = frozenset(range(0x20, 0x7F)) - frozenset(b'"\\')
_WORD = re.compile(r'"([^"]*)"')
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")
_MIGRATION_TABLE = (
    "create table migration (number integer primary key, name text not null, run_time timestamptz not null "
    "default now());"
)
# Columns that Postgres fills itself are left to it.
_COLUMNS = """
select attname from pg_attribute
 where attrelid = $1::text::regclass and attnum > 0 and not attisdropped and attgenerated = '' and attidentity = ''
 order by attnum"""


async def ledger_as_sql(db: "asyncpg.Connection[asyncpg.Record]") -> AsyncIterator[str]:
    """The lines of a script that makes these tables, with these rows, in an empty database."""
    yield _MIGRATION_TABLE
    made = [migration.sql for migration in migrations()]
    for sql in made:
        yield sql
    for table in ["migration", *re.findall(r"^create table (\w+)", "\n".join(made), re.MULTILINE)]:
        columns = [row["attname"] for row in await db.fetch(_COLUMNS, table)]
        values = ", ".join(f"quote_nullable({column}::text)" for column in columns)
        for row in await db.fetch(f"select concat_ws(', ', {values}) as row from {table} order by 1"):
            yield f"insert into {table} ({', '.join(columns)}) values ({row['row']});"


async def redis_as_commands(redis: BytesRedis) -> AsyncIterator[str]:
    """The commands that make these keys in an empty database."""
    for key in sorted([key async for key in redis.scan_iter()]):
        assert await redis.pttl(key) == -1, f"{key!r} would expire before it is loaded"
        for command in await _commands_of(redis, key):
            yield " ".join(map(_quoted, command))


async def _commands_of(redis: BytesRedis, key: bytes) -> list[list[bytes]]:
    kind = (await redis.type(key)).decode()
    if kind == "hash":
        fields = sorted((await redis.hgetall(key)).items())
        return [[b"HSET", key, field, value] for field, value in fields]
    if kind == "zset":
        members = await redis.zrange(key, 0, -1, withscores=True)
        return [[b"ZADD", key, f"{score:.17g}".encode(), member] for member, score in members]
    assert kind == "stream", f"{key!r} is a {kind}, which has no commands here"
    entries = await redis.xrange(key)
    added = [[b"XADD", key, entry_id, *sum(fields.items(), ())] for entry_id, fields in entries]
    last = (await redis.xinfo_stream(key))["last-generated-id"]
    if added and entries[-1][0] == last:
        return added
    return [*added, [b"XADD", key, last, b"gone", b""], [b"XDEL", key, last]]  # a stream remembers its last id


async def load_ledger(db: "asyncpg.Connection[asyncpg.Record]", script: str) -> None:
    """Fill an empty database."""
    await db.execute(script)


async def load_redis(redis_url: str, commands: str) -> None:
    """Fill an empty Redis, at once, so that no process sees a part of it."""
    async with Redis.from_url(redis_url) as redis, redis.pipeline(transaction=True) as pipeline:
        for line in commands.splitlines():
            pipeline.execute_command(*_words(line))
        await pipeline.execute()


def _quoted(word: bytes) -> str:
    return '"' + "".join(chr(byte) if byte in _PLAIN else f"\\x{byte:02x}" for byte in word) + '"'


def _words(line: str) -> Sequence[bytes]:
    return [_ESCAPE.sub(lambda code: bytes.fromhex(code[1].decode()), word) for word in _plain_words(line)]


def _plain_words(line: str) -> Iterator[bytes]:
    return (word.encode() for word in _WORD.findall(line))
