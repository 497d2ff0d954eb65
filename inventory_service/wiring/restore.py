"""Builds `restore`, which opens shards that do not open by themselves."""

import getpass
import json
import socket
import sys
import time
from typing import Annotated

import typer

from holdfast_runtime.kafka import kafka_config
from holdfast_runtime.kafka_probe import kafka_dependency
from holdfast_runtime.postgres import postgres_dependency
from holdfast_runtime.process import Command, JsonOption
from holdfast_runtime.settings import KAFKA, LOGGING, POSTGRES, BadSettings
from holdfast_runtime.signals import run_unless_signalled
from inventory_service.adapters.kafka.commit_offsets import KafkaCommitOffsets
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.shards import LedgerShards
from inventory_service.adapters.redis.connections import Renewal
from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.adapters.redis.outbox import RedisOutbox
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.domain.restore import ON_REQUEST
from inventory_service.domain.shards import ServerUnavailable
from inventory_service.service import restore
from inventory_service.service.relay.load_progress import ProgressWriter
from inventory_service.settings import Settings
from inventory_service.wiring.servers import (
    REDIS,
    audit_dependencies,
    check_all_shard_counts,
    closing,
    redis_dependency,
    shard_counts_checked,
    takeover,
)

PROGRESS_S = 1.0  # between two lines on one shard
SHARD = "The shard to open (default: all)."
ACCEPT_LOSS = (
    "Open a shard although commits are lost that callers heard of. What Redis alone has is dropped and listed by"
    " `holdfast orphans`."
)
FORCE = "Load the shard although it serves: its contents differ from the ledger's. Needs --shard."
DRY_RUN = "Say what would be done, and do nothing."


async def restore_shards(
    settings: Settings,
    shard: Annotated[int | None, typer.Option("--shard", min=0, metavar="N", help=SHARD)] = None,
    accept_loss: Annotated[bool, typer.Option("--accept-loss", help=ACCEPT_LOSS)] = False,
    force: Annotated[bool, typer.Option("--force", help=FORCE)] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=DRY_RUN)] = False,
    as_json: Annotated[bool, JsonOption()] = False,
) -> int:
    """Open shards that do not open by themselves; the result is written to standard output."""
    if shard is not None and shard >= settings.shards:
        raise BadSettings(f"--shard: there are {settings.shards} shards, from 0 to {settings.shards - 1}")
    if force and shard is None:
        raise BadSettings("--force: name the shard with --shard")
    permission = ON_REQUEST._replace(loss=accept_loss, force=force, accepted_by=_user())
    options = restore.Options(settings.shards, shard, permission, dry_run, as_json)
    offsets = KafkaCommitOffsets(kafka_config(settings))
    async with closing(offsets):
        with shard_counts_checked():
            return await run_unless_signalled(_restore_if_reached(settings, offsets, options))


async def _restore_if_reached(settings: Settings, offsets: KafkaCommitOffsets, options: restore.Options) -> int:
    try:
        return await _restore(settings, offsets, options)
    except ServerUnavailable as error:  # at the very start; later ones are the result's
        why = error.describe(restore.RUN_AGAIN)
        print(json.dumps({"serving": False, "shards": [], "error": why}) if options.as_json else why)
        return 2


async def _restore(settings: Settings, offsets: KafkaCommitOffsets, options: restore.Options) -> int:
    await check_all_shard_counts(settings)
    renewal, ledger = Renewal(), LedgerPool(settings.postgres_dsn)
    connections = connections_to(settings.redis_url, renewal=renewal)
    shards = RedisShards(connections)
    progress = ProgressWriter(lambda line: print(line, file=sys.stderr), time.monotonic, PROGRESS_S)
    dependencies = restore.Dependencies(
        shards,
        LedgerShards(ledger),
        offsets,
        takeover(settings, shards, RedisOutbox(connections), ledger, offsets, progress, renewal),
        audit_dependencies(settings, lambda _: None, lambda _: None, renewal),
        write=print,
        monotonic=time.monotonic,
    )
    return await restore.run(dependencies, options)


def _user() -> str:
    """Who accepts a loss, for the ledger's list of epochs."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a user without a name
        return socket.gethostname()


COMMAND = Command(
    name="restore",
    purpose="open shards that do not open by themselves, from the ledger where Redis is lost",
    dependencies=(redis_dependency, postgres_dependency, kafka_dependency),
    settings=(
        *(*REDIS, *POSTGRES, *KAFKA, "kafka_session_timeout_s", "shards", "record_retention_s", "start_wait_s"),
        *LOGGING,
    ),
    run=restore_shards,
    kind=Settings,
    more=(
        "Persisters and relays must run. Exit code 0: every shard serves, 1: a loss must be accepted, or the audit of a"
        " shard that was opened differs or came to no end, 2 or 3: unknown."
    ),
    verifies=True,
)
