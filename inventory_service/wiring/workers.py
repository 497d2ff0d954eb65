"""Serves with several processes on one port: their settings, their supervisor, and one page for all of them."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Annotated

import structlog
import typer
from prometheus_client import CollectorRegistry

from holdfast_runtime.background import keep_running
from holdfast_runtime.instruments import publish
from holdfast_runtime.metrics_page import new_registry
from holdfast_runtime.ports import reserved
from holdfast_runtime.settings import PREFIX
from holdfast_runtime.signals import first_to_end, signals
from inventory_service import metrics
from inventory_service.rpc.server import cannot_listen
from inventory_service.server_checks.run import check_watches
from inventory_service.settings import MOST_WORKERS, Settings
from inventory_service.wiring.authentication import token_keys
from inventory_service.wiring.listening import log_listening, not_listening
from inventory_service.wiring.server_checks import checks
from inventory_service.wiring.servers import check_all_shard_counts, shard_counts_checked
from inventory_service.wiring.tls import Tls, tls_of
from inventory_service.workers.merging import Rule
from inventory_service.workers.pages import WorkersHealth, WorkersMetrics
from inventory_service.workers.supervisor import Supervisor

KILL_AFTER_S = 10.0  # beyond the time for a drain: by then a worker that works has ended
# What becomes of the workers' values; other counters and histograms are summed, other gauges stand by worker.
RULES = {
    "holdfast_acknowledged_and_lost_commits": Rule.HIGHEST,  # workers that observed the same commits count the same
    "holdfast_certificate_expiry_seconds": Rule.LOWEST,
    "holdfast_files_ok": Rule.LOWEST,
    "holdfast_redis_breaker_open": Rule.HIGHEST,
    "holdfast_redis_memory_used_ratio": Rule.HIGHEST,
    "holdfast_revocations": Rule.LOWEST,
    "holdfast_revocations_age_seconds": Rule.HIGHEST,
    "holdfast_server_check_ok": Rule.LOWEST,  # the supervisor's alone
    "holdfast_slots_in_use": Rule.EACH,  # each worker has slots and watches of its own
    "holdfast_watches_open": Rule.EACH,
    "holdfast_workers": Rule.SUM,
    "process_cpu_seconds": Rule.EACH,
    "python_info": Rule.HIGHEST,
}
log = structlog.get_logger()

WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST_WORKERS,
        help="Server processes on the address, under one that supervises them; HOLDFAST_WORKERS if not given.",
        show_default=False,
    ),
]
WorkerOption = Annotated[
    int | None,
    typer.Option(hidden=True, help="The number of this worker; it is no worker if not given.", show_default=False),
]


async def supervise(settings: Settings, count: int, *, insecure: bool) -> int:
    """Serve with `count` workers until a signal: the exit code. A second signal ends the drain."""
    received = signals()
    tls = await _checked(settings)
    with ExitStack() as kept:
        address = _reserve(settings, kept)
        supervisor = Supervisor(count, _command(), {**os.environ, **_changed(settings, address, insecure=insecure)})
        registry = new_registry()
        watches = check_watches(checks(settings), log, metrics.ServerCheckMetrics(registry))
        publish(settings.metrics_listen, WorkersMetrics(registry, supervisor, RULES), WorkersHealth(supervisor))
        running = asyncio.create_task(supervisor.run())
        beside = [
            asyncio.create_task(_log_listening(supervisor, settings, address, tls, count)),
            *(asyncio.create_task(keep_running(watch)) for watch in watches),
        ]
        if await first_to_end(_end_of(running), received.get()):
            code = await running
        else:
            log.info("draining", workers=count)
            code = await _drain(supervisor, running, received, settings.drain_s)
        for task in beside:
            task.cancel()
        log.info("stopped")
        return code


async def _checked(settings: Settings) -> Tls:
    """`BadSettings` where each worker would end with it: one line in the place of as many as there are workers."""
    file_metrics = metrics.FileMetrics(CollectorRegistry())
    tls, _ = tls_of(settings, file_metrics), token_keys(settings, file_metrics.show_ok)
    with shard_counts_checked():
        await check_all_shard_counts(settings)
    return tls


def _reserve(settings: Settings, kept: ExitStack) -> str:
    """The address, with the port that all workers get; it is this process' until `kept` ends."""
    host, _, port = settings.listen.rpartition(":")
    try:
        shared = settings.share_port == "1"
        return f"{host}:{kept.enter_context(reserved(host.strip('[]'), int(port), shared=shared))}"
    except OSError as error:
        raise not_listening(settings, cannot_listen(error, int(port))) from error


def _command() -> Sequence[str]:
    """A worker's, but for its number; it has no setting, because every user of the machine can read it."""
    safe_path = ["-P"] if sys.flags.safe_path else []
    return [sys.executable, *safe_path, "-m", "inventory_service", "serve", "--worker"]


def _changed(settings: Settings, address: str, *, insecure: bool) -> Mapping[str, str]:
    """The settings of a worker that differ from the supervisor's."""
    return {
        f"{PREFIX}LISTEN": address,
        f"{PREFIX}SHARE_PORT": "1",
        f"{PREFIX}METRICS_LISTEN": settings.metrics_listen and "127.0.0.1:0",
        f"{PREFIX}START_WAIT_S": "0",  # the supervisor has waited; a worker that is started again must not end for it
        **({f"{PREFIX}INSECURE": "true"} if insecure else {}),
    }


async def _log_listening(supervisor: Supervisor, settings: Settings, address: str, tls: Tls, count: int) -> None:
    await supervisor.all_listen.wait()
    log_listening(settings, address, tls, workers=count)


async def _drain(
    supervisor: Supervisor, running: asyncio.Task[int], received: asyncio.Queue[signal.Signals], within_s: float
) -> int:
    """Drain the workers: their exit code. Another signal ends those that still run, and so does the time limit."""
    supervisor.drain()
    try:
        async with asyncio.timeout(within_s + KILL_AFTER_S):
            if await first_to_end(_end_of(running), received.get()):
                return await running
        supervisor.kill()
        await running
        return 0
    except TimeoutError:
        log.error("workers_killed", why=f"they have not ended within {within_s + KILL_AFTER_S:g} s")
        supervisor.kill()
        return await running


async def _end_of(task: asyncio.Task[int]) -> None:
    """Wait for a task that goes on if this is cancelled."""
    await asyncio.wait([task])
