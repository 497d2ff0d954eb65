"""Starts a server on its address, and reports that it listens there, or why it cannot."""

import structlog

from holdfast_runtime.settings import BadSettings
from inventory_service.rpc.server import CannotListen, Server
from inventory_service.settings import Settings
from inventory_service.wiring.authentication import is_loopback, who_may_call
from inventory_service.wiring.tls import PLAINTEXT, Tls
from inventory_service.workers.worker import Report, send_report

log = structlog.get_logger()


async def listen(server: Server, settings: Settings, tls: Tls, worker: int | None, metrics_url: str) -> None:
    """Start the server, and log its address or, as a worker, tell the supervisor. `BadSettings` if it cannot listen."""
    try:
        address = await server.start(settings.listen, shared=settings.share_port == "1")
    except CannotListen as error:
        raise not_listening(settings, error) from error
    if worker is None:
        log_listening(settings, address, tls)
    else:
        log.info("worker_listening", address=address)
        send_report(Report(metrics_url))


def not_listening(settings: Settings, error: CannotListen) -> BadSettings:
    """The one line that the process ends with."""
    return BadSettings(f"HOLDFAST_LISTEN: cannot listen on {settings.listen}: {error}")


def log_listening(settings: Settings, address: str, tls: Tls, **more: int) -> None:
    """Log the address, and who may call there."""
    callers = who_may_call(tokens=settings.has_token_keys, certificates=tls.identities is not None)
    log.info("listening", address=address, shards=settings.shards, tls=tls.mode, callers=callers, **more)
    if settings.has_token_keys and tls is PLAINTEXT and not is_loopback(settings.listen):
        log.warning("tokens_in_plaintext", address=address, meaning="without TLS others may read them")
