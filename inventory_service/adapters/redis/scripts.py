"""Loads lua/ and runs it: the only way in which this service changes anything in Redis."""

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError

from inventory_service.adapters.redis.connections import Argument, OutcomeUnknown, RedisConnection, RedisConnections
from inventory_service.domain.shards import RedisUnavailable

# First words of the replies by which Redis refuses to run the script at all: not now, not for this user, not here.
NOT_RUN = frozenset(
    {"BUSY", "MISCONF", "NOREPLICAS", "MASTERDOWN", "READONLY", "CLUSTERDOWN", "TRYAGAIN"}
    | {"NOAUTH", "NOPERM", "WRONGPASS"}
    | {"MOVED", "ASK", "CROSSSLOT"}
)
USES = re.compile(r"^Uses +(.+?) *\]\]", re.MULTILINE)


class Script(NamedTuple):
    """One script as Redis gets it; its sha names this very text."""

    name: str
    text: str
    sha: str


class ShardNotServing(Exception):
    """The shard does not serve this call: nothing was done. `code` is the script's word for why."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code} {detail}".strip())
        self.code = code
        self.detail = detail


class ScriptFailed(Exception):
    """A script broke, which is a bug of this service. What it wrote before stays."""


@cache
def load_script(name: str) -> Script:
    """Read `lua/<name>.lua` with the parts that it uses."""
    return script_from_text(name, with_parts(read_lua(name)))


def with_parts(text: str) -> str:
    """Put the parts of lua/lib that a script's header names behind the script's first line, the `#!lua` one."""
    first, _, rest = text.partition("\n")
    assert first.startswith("#!lua"), f"a script does not begin with #!lua: {first}"
    return "\n".join([first, *(read_lua(f"lib/{part}") for part in parts_of(text)), rest])


def parts_of(text: str) -> list[str]:
    """The parts of lua/lib that a script's header names, in their order."""
    uses = USES.search(text)
    assert uses is not None, "a script's header does not say which parts it uses"
    return uses[1].split()


def read_lua(name: str) -> str:
    """The text of a file in lua/."""
    return (files("inventory_service") / "lua" / f"{name}.lua").read_text()


def script_from_text(name: str, text: str) -> Script:
    """Name a script by the sha that Redis will know it by."""
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class Epochs:
    """The highest epoch that was observed, for each shard: none below it is ever served."""

    def __init__(self) -> None:
        self._highest: dict[int, int] = {}

    def get(self, shard: int) -> int:
        """Return it; 0 if none was observed."""
        return self._highest.get(shard, 0)

    def observe(self, shard: int, epoch: int) -> None:
        """Remember an epoch; one below the highest changes nothing."""
        self._highest[shard] = max(epoch, self.get(shard))


class RedisScripts:
    """Runs scripts on one Redis, with the caller's epoch and the connection's run_id before their other arguments."""

    def __init__(
        self, connections: RedisConnections, epochs: Epochs, load: Callable[[str], Script] = load_script
    ) -> None:
        self._connections = connections
        self._epochs = epochs
        self._load = load

    async def run(self, name: str, shard: int, keys: Sequence[str], arguments: Sequence[Argument] = ()) -> list[Any]:
        """Run a script on a shard that should serve, under the highest epoch observed, and return its reply.

        Redis that knows a higher epoch did nothing and says so; the call is then repeated under it. Raises
        ShardNotServing, RedisUnavailable (nothing was done) and its child OutcomeUnknown (it may have been).
        """
        while True:
            epoch = self._epochs.get(shard)
            try:
                return await self.run_under(epoch, name, keys, arguments)
            except ShardNotServing as error:
                if error.code != "EPOCH" or int(error.detail) <= epoch:
                    raise
                self._epochs.observe(shard, int(error.detail))

    async def run_under(
        self, epoch: int, name: str, keys: Sequence[str], arguments: Sequence[Argument] = ()
    ) -> list[Any]:
        """Run a script under this epoch and no other. Raises as `run` does."""
        script = self._load(name)
        async with self._connections.acquire() as connection:
            command = (len(keys), *keys, epoch, connection.run_id, *arguments)
            reply = await _evaluate(connection, script, command)
        if reply[0] == b"SHARD":
            raise ShardNotServing(reply[1].decode(), reply[2].decode())
        return reply


async def _evaluate(connection: RedisConnection, script: Script, command: Sequence[Argument]) -> list[Any]:
    try:
        try:
            reply = await connection.ask("EVALSHA", script.sha, *command)
        except NoScriptError:  # Redis is new, or its scripts were flushed: nothing was done
            await _load(connection, script)
            reply = await connection.ask("EVALSHA", script.sha, *command)
    except OutOfMemoryError as error:
        raise ShardNotServing("LEDGER_BEHIND", str(error)) from error
    except ResponseError as error:
        code = error.status_code or str(error).partition(" ")[0]
        if code in NOT_RUN and script.sha not in str(error):  # one that had begun is named by what stopped it
            raise RedisUnavailable(f"{code}: {error}") from error
        raise ScriptFailed(f"{script.name}.lua: {error}") from error
    assert isinstance(reply, list), f"{script.name}.lua answered {reply!r}"
    return reply


async def _load(connection: RedisConnection, script: Script) -> None:
    """Teach Redis a script. Whether or not it learned: the call that needs it was not made yet."""
    try:
        await connection.ask("SCRIPT", "LOAD", script.text)
    except OutcomeUnknown as error:
        raise RedisUnavailable(str(error)) from error
