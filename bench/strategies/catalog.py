"""The strategies by name, in the order of the tables, and the parts that each has."""

from collections.abc import Mapping

from bench.strategies.atomic_update import AtomicUpdate
from bench.strategies.base import Strategy
from bench.strategies.counter import RedisCounter
from bench.strategies.decr_queue import DecrQueue, DecrQueueWorker
from bench.strategies.lua_insert import LuaInsert
from bench.strategies.lua_queue import LuaQueue, LuaQueueWorker
from bench.strategies.queue import Worker
from bench.strategies.read_modify_write import ReadModifyWrite
from bench.strategies.select_for_update import SelectForUpdate

HOLDFAST = "holdfast"
SERVERS: Mapping[str, type[Strategy]] = {
    "read-modify-write": ReadModifyWrite,
    "atomic-update": AtomicUpdate,
    "select-for-update": SelectForUpdate,
    "lua-insert": LuaInsert,
    "decr-queue": DecrQueue,
    "lua-queue": LuaQueue,
}
WORKERS: Mapping[str, type[Worker]] = {"decr-queue": DecrQueueWorker, "lua-queue": LuaQueueWorker}
NAMES = (*SERVERS, HOLDFAST)
REDIS, POSTGRES, SERVER, WORKER = "redis", "postgres", "server", "worker"


def has(name: str, part: str) -> bool:
    """Whether a strategy has a part: some have no worker, and some do without Redis."""
    if name == HOLDFAST:
        return True
    if part == REDIS:
        return issubclass(SERVERS[name], RedisCounter)
    return part != WORKER or name in WORKERS
