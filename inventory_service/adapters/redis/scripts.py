"""Loads the scripts of lua/ and runs them; this service writes to Redis in no other way."""

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError

from inventory_service.adapters.redis.breaker import BreakerOpen
from inventory_service.adapters.redis.connection import (
    REPLY_TIMEOUT_S,
    Argument,
    NotReplicated,
    OutcomeUnknown,
    RedisConnection,
    code_of,
)
from inventory_service.adapters.redis.connections import RENEWAL_INTERVAL_S, SLOW_RENEWAL_INTERVAL_S, RedisConnections
from inventory_service.adapters.redis.keys import shard_keys
from inventory_service.adapters.redis.lua_functions import with_needed_functions
from inventory_service.adapters.redis.replica_wait import ReplicaWait
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.shards import WENT_BACK, CommitId, OtherFormat, RedisUnavailable

# First words of error replies after which a script did not run: not now, not for this user, not on this node.
NOT_RUN = frozenset(
    {"BUSY", "MISCONF", "NOREPLICAS", "MASTERDOWN", "READONLY", "CLUSTERDOWN", "TRYAGAIN"}
    | {"NOAUTH", "NOPERM", "WRONGPASS"}
    | {"MOVED", "ASK", "CROSSSLOT"}
)
LEDGER_BEHIND = "LEDGER_BEHIND"  # not a reply of a script: Redis is full
MAX_CLOCK_AHEAD_S = 5.0
# A caller is told what they reply and may rely on it; the other scripts run again where what they wrote is lost.
ACKNOWLEDGED = frozenset(
    {"reserve", "move", "change_hold", "return_archived", "create_sale", "change_sale", "adjust_stock"}
)
_OTHER_REDIS = frozenset({"NOT_OWNED", WENT_BACK, "BLANK"})  # so another one may have the address now
_AHEAD = {
    "CLOCK_AHEAD": "Redis' clock is {:.1f} s ahead of this process'",
    "TIME_AHEAD": "the shard's last commit is dated {:.1f} s ahead of this process' clock",
}
USES = re.compile(r"^Uses +(.+?) *(?:\]\]|$)", re.MULTILINE)
_NUMBERS = re.compile(r"^local ([A-Z_]+(?:,\s+[A-Z_]+)*) = (\d+(?:, \d+)*)(?= *(?:--|$))", re.MULTILINE)
_NAME = re.compile(r"--\[\[.*?\]\]|--[^\n]*|'[^'\n]*'|(?<![.\w])[A-Z_]+\b", re.DOTALL)  # or a comment or a string


class Script(NamedTuple):
    """One script as it is sent to Redis; `sha` is that of `text`."""

    name: str
    text: str
    sha: str


class ShardNotServing(Exception):
    """The shard does not serve the call, and the script wrote nothing. `code` is the reason that it returned."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code} {detail}".strip())
        self.code = code
        self.detail = detail


def unavailable(shard: int, error: ShardNotServing) -> RedisUnavailable:
    """The same for those who wait until a shard serves, or give up and say why it does not."""
    return OtherFormat(shard, *error.detail.split()) if error.code == "FORMAT" else RedisUnavailable(str(error))


class ScriptFailed(Exception):
    """A script failed, which is a bug of this service. What it wrote before that stays."""


@cache
def load_script(name: str) -> Script:
    """Load `lua/<name>.lua` with the library files that it uses."""
    return script_from_text(name, with_library(read_lua(name)))


def with_library(text: str) -> str:
    """Insert the files of lua/lib that a script's header names after its first line, the `#!lua` one."""
    first, _, rest = text.partition("\n")
    assert first.startswith("#!lua"), f"a script does not begin with #!lua: {first}"
    whole = "\n".join([first, *(read_lua(f"lib/{file}") for file in used_library(text)), rest])
    return with_needed_functions(with_numbers(whole))


def with_numbers(text: str) -> str:
    """Put numbers in the place of the constants that are defined as such at the beginning of a line.

    To Lua they are variables: each call would make them anew, and every function would look for those that it uses.
    """
    numbers: dict[str, str] = {}

    def note(definition: re.Match[str]) -> str:
        numbers.update(zip(definition[1].replace(",", " ").split(), definition[2].split(", "), strict=True))
        return "\n" * definition[0].count("\n")  # an error still names its line

    without_definitions = _NUMBERS.sub(note, text)
    return _NAME.sub(lambda name: numbers.get(name[0], name[0]), without_definitions)


def used_library(text: str) -> list[str]:
    """The files of lua/lib that a script's header names, in that order."""
    uses = USES.search(text)
    assert uses is not None, "a script's header does not say which files of lua/lib it uses"
    return uses[1].split()


def read_lua(name: str) -> str:
    """The text of a file in lua/."""
    return (files("inventory_service") / "lua" / f"{name}.lua").read_text()


def script_from_text(name: str, text: str) -> Script:
    """A script with the sha by which EVALSHA finds it."""
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def clock_ms() -> int:
    """This machine's clock, in ms since 1970."""
    return time.time_ns() // 1_000_000


class RedisScripts:
    """Runs scripts on one Redis; before their other arguments, the highest commit observed and the latest time allowed.

    No call acts more than `max_clock_ahead_s` after `now_ms` of the moment at which it was sent, so a Redis whose clock
    is an hour ahead opens no sale and ends no hold.
    """

    def __init__(
        self,
        connections: RedisConnections,
        heads: ObservedHeads,
        load: Callable[[str], Script] = load_script,
        now_ms: Callable[[], int] = clock_ms,
        max_clock_ahead_s: float = MAX_CLOCK_AHEAD_S,
        wait: ReplicaWait | None = None,
    ) -> None:
        """With `wait`, OutcomeUnknown is raised too where replicas lack what a caller is to be told."""
        self._connections = connections
        self.heads = heads
        self._load = load
        self._now_ms = now_ms
        self._max_ahead_ms = round(max_clock_ahead_s * 1000)
        self._wait = wait

    async def run(self, name: str, shard: int, keys: Sequence[str], arguments: Sequence[Argument] = ()) -> list[Any]:
        """Run a script and return its reply.

        Raises ShardNotServing and RedisUnavailable (the script wrote nothing), and its subclass OutcomeUnknown (it may
        have). After each of the first two, and the reply that a take-over is gone, another Redis may have the address,
        so connections are made anew; but not after BreakerOpen, for Redis was not asked.
        """
        observed = self.heads.get(shard)
        try:
            reply = await self._run(name, shard, keys, observed, arguments)
        except ShardNotServing as error:
            if error.code != LEDGER_BEHIND:
                is_other_redis = error.code in _OTHER_REDIS
                self._connections.renewal.demand(RENEWAL_INTERVAL_S if is_other_redis else SLOW_RENEWAL_INTERVAL_S)
            if error.code == WENT_BACK:
                await self._freeze(shard, observed, error.detail)
            raise
        except (OutcomeUnknown, BreakerOpen):
            raise
        except RedisUnavailable:
            self._connections.renewal.demand()
            raise
        if reply[0] == b"GONE":
            self._connections.renewal.demand()
        return reply

    async def _run(
        self, name: str, shard: int, keys: Sequence[str], observed: CommitId, arguments: Sequence[Argument]
    ) -> list[Any]:
        script = self._load(name)
        wait = self._wait if name in ACKNOWLEDGED else None
        async with self._connections.acquire(shard) as connection:
            sent_ms = self._now_ms()
            head = (str(observed), sent_ms + self._max_ahead_ms)
            reply = await evaluate(connection, script, (len(keys), *keys, *head, *arguments), wait)
        if reply[0] == b"SHARD":
            raise _not_serving(reply[1].decode(), reply[2].decode(), sent_ms)
        return reply

    async def _freeze(self, shard: int, observed: CommitId, head: str) -> None:
        """Stop a shard that lacks a commit, for other callers may not have observed it; the next call does it again.

        A Redis of an older epoch is another one than that of the take-over since, and this process does not serve it.
        """
        epoch = head.partition("-")[0]
        if int(epoch) == observed.epoch:
            with suppress(RedisUnavailable, ShardNotServing):
                arguments = (epoch, went_back(observed, head), "")
                await self._run("freeze", shard, shard_keys(shard), CommitId(0, 0), arguments)


def went_back(observed: CommitId, head: str) -> str:
    """The reason for which a shard is frozen whose Redis ends below a commit that was observed."""
    return f"{WENT_BACK}: commit {observed} was observed, and Redis ends at {head}"


def _not_serving(code: str, detail: str, sent_ms: int) -> ShardNotServing:
    """What the script replied; how far a time is ahead is told in a sentence."""
    ahead_s = (int(detail) - sent_ms) / 1000 if code in _AHEAD else 0.0
    return ShardNotServing(code, _AHEAD[code].format(ahead_s) if code in _AHEAD else detail)


async def evaluate(
    connection: RedisConnection, script: Script, command: Sequence[Argument], wait: ReplicaWait | None = None
) -> list[Any]:
    """Run a script with the number of its keys, these, and its arguments; raises as `RedisScripts.run` does."""
    timeout_s = REPLY_TIMEOUT_S if wait is None else REPLY_TIMEOUT_S + wait.s
    try:
        try:
            reply = await connection.execute("EVALSHA", script.sha, *command, timeout_s=timeout_s, wait=wait)
        except NoScriptError:  # Redis restarted, or its scripts were flushed: the script did not run
            await _load(connection, script)
            reply = await connection.execute("EVALSHA", script.sha, *command, timeout_s=timeout_s, wait=wait)
    except NotReplicated as error:
        if not _wrote_nothing(error.reply):
            raise
        reply = error.reply
    except OutOfMemoryError as error:
        raise ShardNotServing(LEDGER_BEHIND, str(error)) from error
    except ResponseError as error:
        code = code_of(error)
        if code in NOT_RUN and script.sha not in str(error):  # the error names the sha if the script had begun
            raise RedisUnavailable(f"{code}: {error}") from error
        raise ScriptFailed(f"{script.name}.lua: {error}") from error
    assert isinstance(reply, list), f"{script.name}.lua answered {reply!r}"
    return reply


def _wrote_nothing(reply: object) -> bool:
    """Whether the shard does not serve the call, so that there is nothing to wait for."""
    return isinstance(reply, list) and reply[0] == b"SHARD"


async def _load(connection: RedisConnection, script: Script) -> None:
    """Load a script. Its outcome is never unknown to the caller, since the call that needs it was not sent yet."""
    try:
        await connection.execute("SCRIPT", "LOAD", script.text)
    except OutcomeUnknown as error:
        raise RedisUnavailable(str(error)) from error
