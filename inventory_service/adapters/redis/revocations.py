"""Writes and reads the stream of revocations, which is of no shard: servers learn from it of new ones soon."""

from collections.abc import Iterable, Sequence
from typing import Any

import structlog
from holdfast.inventory.v1 import error_reason_pb2 as reasons
from redis.exceptions import ResponseError

from inventory_service.adapters.redis.connection import Argument, OutcomeUnknown
from inventory_service.adapters.redis.connections import RedisConnections
from inventory_service.adapters.redis.keys import REVOCATIONS_KEY
from inventory_service.adapters.redis.scripts import ShardNotServing, evaluate, load_script
from inventory_service.domain.results import Failure
from inventory_service.domain.revocations import KEPT_S, Revocation
from inventory_service.domain.shards import RedisUnavailable

ENTRIES_AT_ONCE = 1000
RENEWAL_INTERVAL_S = 10.0  # a Redis that lost its address still answers, and no reply says so
LAST_S = 253_402_300_800  # the end of the year 9999, in seconds since 1970
EntryId = tuple[int, int]
FIRST: EntryId = (0, 0)  # below that of every entry
log = structlog.get_logger()


class RedisRevocations:
    """The stream, read by one reader. An entry may be in it twice, and be read twice."""

    def __init__(self, connections: RedisConnections) -> None:
        self._connections = connections
        self._read = FIRST  # the last entry that was read

    async def add(self, revocation: Revocation) -> Failure | None:
        script = load_script("add_revocation")
        command = (1, REVOCATIONS_KEY, KEPT_S * 1000, *_fields_of(revocation))
        try:
            async with self._connections.acquire() as connection:
                await evaluate(connection, script, command)
        except OutcomeUnknown:
            return Failure(reasons.ERROR_REASON_OUTCOME_UNKNOWN)
        except (RedisUnavailable, ShardNotServing):  # the latter: Redis is full
            self._connections.renewal.demand()
            return Failure(reasons.ERROR_REASON_STORE_UNREACHABLE)
        return None

    async def new(self) -> Sequence[Revocation]:
        """Those behind the last one that was read; all of them after a failure, or if Redis has an older stream."""
        self._connections.renewal.demand(RENEWAL_INTERVAL_S)  # another Redis may have the address by now
        after, self._read = self._read, FIRST
        found: list[Revocation] = []
        newest = await self._newest()
        if newest < after:
            after = FIRST
        while after < newest:
            start = f"({after[0]}-{after[1]}"
            entries = await self._execute("XRANGE", REVOCATIONS_KEY, start, "+", "COUNT", ENTRIES_AT_ONCE)
            if not entries:
                break
            found.extend(_revocations_in(entries))
            after = _entry_id(entries[-1][0])
        self._read = after
        return found

    async def _newest(self) -> EntryId:
        entries = await self._execute("XREVRANGE", REVOCATIONS_KEY, "+", "-", "COUNT", 1)
        return _entry_id(entries[0][0]) if entries else FIRST

    async def _execute(self, *command: Argument) -> Any:
        async with self._connections.acquire() as connection:
            try:
                return await connection.execute(*command)
            except ResponseError as error:
                raise RedisUnavailable(str(error)) from error


def _entry_id(text: bytes) -> EntryId:
    ms, _, number = text.partition(b"-")
    return int(ms), int(number)


def _fields_of(revocation: Revocation) -> list[Argument]:
    named: dict[str, Argument] = {
        "tenant": revocation.tenant,
        "name": revocation.name,
        "issued_before_s": "" if revocation.issued_before_s is None else revocation.issued_before_s,
        "reason": revocation.reason,
        "actor": revocation.actor,
        "create_ms": revocation.create_ms,
    }
    return [part for field in named.items() for part in field]


def _revocations_in(entries: Iterable[Any]) -> Iterable[Revocation]:
    """Those that can be read; no entry that another program wrote keeps a server from the ones behind it."""
    for entry_id, fields in entries:
        try:
            texts = [_text(part) for part in fields]
            values = dict(zip(texts[::2], texts[1::2], strict=True))
            before_s, create_ms = values["issued_before_s"], _moment(values["create_ms"], 1000)
            yield Revocation(
                tenant=values["tenant"],
                name=values["name"],
                issued_before_s=_moment(before_s, 1) if before_s else None,
                reason=values["reason"],
                actor=values["actor"],
                create_ms=create_ms,
            )
        except (KeyError, ValueError) as error:
            log.error("revocation_unreadable", entry=entry_id.decode(), error=repr(error))


def _text(part: bytes) -> str:
    """ValueError if it is none that the ledger can keep: PostgreSQL has no text with a NUL."""
    if b"\0" in part:
        raise ValueError("a NUL in a text")
    return part.decode()


def _moment(text: str, units_a_second: int) -> int:
    """Since 1970; ValueError if it lies beyond the year 9999, where neither Python nor an API's moment goes."""
    moment = int(text)
    if not 0 <= moment < LAST_S * units_a_second:
        raise ValueError(f"{moment} is no moment")
    return moment
