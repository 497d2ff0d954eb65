"""Loads the scripts of lua/ and runs them; this service writes to Redis in no other way."""

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError

from inventory_service.adapters.redis.connections import Argument, OutcomeUnknown, RedisConnection, RedisConnections
from inventory_service.domain.shards import RedisUnavailable

# First words of error replies after which a script did not run: not now, not for this user, not on this node.
NOT_RUN = frozenset(
    {"BUSY", "MISCONF", "NOREPLICAS", "MASTERDOWN", "READONLY", "CLUSTERDOWN", "TRYAGAIN"}
    | {"NOAUTH", "NOPERM", "WRONGPASS"}
    | {"MOVED", "ASK", "CROSSSLOT"}
)
USES = re.compile(r"^Uses +(.+?) *\]\]", re.MULTILINE)


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
    return "\n".join([first, *(read_lua(f"lib/{file}") for file in used_library(text)), rest])


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


class Epochs:
    """The highest epoch observed of each shard; calls never run under a lower one."""

    def __init__(self) -> None:
        self._highest: dict[int, int] = {}

    def get(self, shard: int) -> int:
        """Return it; 0 if none was observed."""
        return self._highest.get(shard, 0)

    def observe(self, shard: int, epoch: int) -> None:
        """Record an epoch; one below the highest changes nothing."""
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

        If Redis has a higher epoch, the script does nothing and returns it, and the call is repeated under it. Raises
        ShardNotServing and RedisUnavailable (the script wrote nothing), and its subclass OutcomeUnknown (it may have).
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
            reply = await connection.execute("EVALSHA", script.sha, *command)
        except NoScriptError:  # Redis restarted, or its scripts were flushed: the script did not run
            await _load(connection, script)
            reply = await connection.execute("EVALSHA", script.sha, *command)
    except OutOfMemoryError as error:
        raise ShardNotServing("LEDGER_BEHIND", str(error)) from error
    except ResponseError as error:
        code = error.status_code or str(error).partition(" ")[0]
        if code in NOT_RUN and script.sha not in str(error):  # the error names the sha if the script had begun
            raise RedisUnavailable(f"{code}: {error}") from error
        raise ScriptFailed(f"{script.name}.lua: {error}") from error
    assert isinstance(reply, list), f"{script.name}.lua answered {reply!r}"
    return reply


async def _load(connection: RedisConnection, script: Script) -> None:
    """Load a script. Its outcome is never unknown to the caller, since the call that needs it was not sent yet."""
    try:
        await connection.execute("SCRIPT", "LOAD", script.text)
    except OutcomeUnknown as error:
        raise RedisUnavailable(str(error)) from error
