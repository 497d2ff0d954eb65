"""Copies the three stores while they are in use, and sets each to a copy, to nothing, or just starts it again."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import psutil
from holdfast_embedded.server import KafkaServer

from tests.fault_stack import FaultStack
from tests.faults.recovery.kafka_copy import KafkaCopy, commits_of, read_kafka, write_kafka
from tests.faults.recovery.stored import journal_of
from tests.servers import connected

REDIS, POSTGRES, KAFKA = "valkey", "postgres", "broker"
KAFKA_CLIENTS = ("relay", "persist", "compensate")
PROCESSES = ("serve", *KAFKA_CLIENTS)
DIES_S = 30.0


class Fate(StrEnum):
    """What happens to a store."""

    UNTOUCHED = "untouched"
    RESTARTED = "restarted"
    SET_BACK = "set back"
    BLANK = "blank"


REPLACED = (Fate.SET_BACK, Fate.BLANK)


class Fates(NamedTuple):
    """What happens to the three stores at one moment."""

    redis: Fate
    postgres: Fate
    kafka: Fate


class Held(NamedTuple):
    """The commits that two of the stores hold at some moment: shard, epoch and seq."""

    in_ledger: set[tuple[int, int, int]]
    in_kafka: set[tuple[int, int, int]]


class Copies(NamedTuple):
    """Copies of the three stores, taken one after the other in this order."""

    redis: Path
    postgres: Path
    kafka: KafkaCopy
    held: Held  # by the copies


async def take_copies(stack: FaultStack, folder: Path) -> Copies:
    """Copy the stores while they are in use: each is frozen for a moment, as a snapshot of its disk would find it."""
    redis, postgres = folder / "redis", folder / "postgres"
    with frozen(stack, REDIS):
        await asyncio.to_thread(shutil.copytree, files_of(stack, REDIS), redis)
    in_ledger = await ledger_commits(stack)
    with frozen(stack, POSTGRES):
        await asyncio.to_thread(shutil.copytree, files_of(stack, POSTGRES), postgres)
    (postgres / "postmaster.pid").unlink()
    kafka = await kafka_records(stack)
    return Copies(redis, postgres, kafka, Held(in_ledger, commits_of(kafka)))


async def held_now(stack: FaultStack) -> Held:
    """What the ledger and Kafka hold; both may have more by the time that the caller knows."""
    return Held(await ledger_commits(stack), commits_of(await kafka_records(stack)))


async def ledger_commits(stack: FaultStack) -> set[tuple[int, int, int]]:
    """What the ledger holds."""
    async with connected(stack.running.addresses.postgres_dsn) as db:
        return await journal_of(db)


async def kafka_records(stack: FaultStack) -> KafkaCopy:
    """What Kafka holds."""
    return await read_kafka(stack.running.addresses.kafka_brokers, stack.running.shards)


async def strike(stack: FaultStack, fates: Fates, copies: Copies) -> None:
    """Let each store meet its fate: all are down before any is back, and every process goes on meanwhile.

    Only while Kafka's topics are emptied or filled are its clients halted, for none of them may write in between.
    """
    with stack.halted(*KAFKA_CLIENTS) if fates.kafka in REPLACED else nullcontext():
        await _let_meet(stack, fates, copies)


async def strike_site(stack: FaultStack, fates: Fates, copies: Copies) -> None:
    """The same, and every process is killed first, and started when all stores are back: none remembers anything."""
    for name in PROCESSES:
        await stack.take_down(name)
    await _let_meet(stack, fates, copies)
    for name in PROCESSES:
        await stack.bring_up(name)


async def _let_meet(stack: FaultStack, fates: Fates, copies: Copies) -> None:
    if fates.kafka is not Fate.UNTOUCHED:
        await _take_kafka_down(stack)
    for name, fate, copy in ((REDIS, fates.redis, copies.redis), (POSTGRES, fates.postgres, copies.postgres)):
        if fate is not Fate.UNTOUCHED:
            await kill(stack, name)
        if fate in REPLACED:
            await asyncio.to_thread(shutil.rmtree, files_of(stack, name))
        if fate is Fate.SET_BACK:
            await asyncio.to_thread(shutil.copytree, copy, files_of(stack, name))
    if fates.kafka is not Fate.UNTOUCHED:
        await _bring_kafka_up(stack, fates.kafka, copies.kafka)
    for name, fate in ((POSTGRES, fates.postgres), (REDIS, fates.redis)):
        if fate is not Fate.UNTOUCHED:
            await stack.bring_up(name)


async def kill(stack: FaultStack, name: str) -> None:
    """Kill a server with all of its processes, so that none still writes to its files, and keep it down."""
    processes = halt(stack, name)
    await stack.take_down(name)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, DIES_S)
    assert not alive, f"{alive} of {name} still run"


async def _take_kafka_down(stack: FaultStack) -> None:
    broker = broker_of(stack)
    if broker.keeps_address:
        await stack.take_down(KAFKA)
    else:  # a new start would be another broker
        await asyncio.to_thread(broker.down)


async def _bring_kafka_up(stack: FaultStack, fate: Fate, copy: KafkaCopy) -> None:
    broker = broker_of(stack)
    if broker.keeps_address:
        await stack.bring_up(KAFKA)
    else:
        await asyncio.to_thread(broker.up)
    if fate in REPLACED:
        await asyncio.to_thread(broker.reset_topics)
    if fate is Fate.SET_BACK:
        await write_kafka(broker.address, copy)


async def migrate(stack: FaultStack) -> None:
    """Make the tables of an empty ledger, as an operator would."""
    result = await stack.run("migrate", module="order_persister")
    assert result.code == 0, result


def broker_of(stack: FaultStack) -> KafkaServer:
    """The stack's broker."""
    broker = stack.running.server(KAFKA)
    assert isinstance(broker, KafkaServer)
    return broker


def files_of(stack: FaultStack, name: str) -> Path:
    """The folder of a server that holds all of its data."""
    return stack.running.server(name).data_dir / {REDIS: "appendonlydir", POSTGRES: "cluster"}[name]


@contextmanager
def frozen(stack: FaultStack, name: str) -> Iterator[None]:
    """All processes of a server are halted inside the block, so that its files do not change."""
    processes = halt(stack, name)
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def halt(stack: FaultStack, name: str) -> list[psutil.Process]:
    """Halt a server's process and its children, the parent first, so that it starts no other."""
    parent = psutil.Process(stack.running.pid(name))
    parent.suspend()
    processes = [parent, *parent.children(recursive=True)]
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    return processes
