"""Serves /metrics and /healthz on a thread of their own."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

ANSWER_TIMEOUT_S = 5.0  # longer than the probes take: an event loop that does not answer by then is blocked
_OK, _NOT_FOUND, _UNAVAILABLE = "200 OK", "404 Not Found", "503 Service Unavailable"
Respond = Callable[[str, list[tuple[str, str]]], Any]


class HealthSource(Protocol):
    """Determines what a page answers at /healthz."""

    async def unavailable(self) -> Mapping[str, str]:
        """Each unavailable server by its name, with the error; empty if the process can work."""


def new_registry() -> CollectorRegistry:
    """A registry with the metrics of the process; nothing registers globally, so that a test may build two."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def serve_page(listen: str, registry: CollectorRegistry, health: HealthSource) -> str:
    """Serve both at host:port and return the URL of /metrics; port 0: a free one. `OSError` if it cannot be bound.

    Health is determined in the event loop that runs now.
    """
    host, _, port = listen.rpartition(":")
    family, *_, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
    page = _page(registry, health, asyncio.get_running_loop())
    kind: type[WSGIServer] = type("_Server", (ThreadingWSGIServer,), {"address_family": family})
    server = make_server(str(address[0]), int(port), page, kind, _Quiet)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return f"http://{host}:{server.server_port}/metrics"


class _Quiet(WSGIRequestHandler):
    """Logs no requests."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def _page(
    registry: CollectorRegistry, health: HealthSource, loop: asyncio.AbstractEventLoop
) -> Callable[[dict[str, Any], Respond], Iterable[bytes]]:
    metrics = make_wsgi_app(registry)

    def page(environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return metrics(environ, respond)  # type: ignore[no-any-return]
        status, text = (
            _healthz(health, loop) if path == "/healthz" else (_NOT_FOUND, "only /metrics and /healthz are served")
        )
        respond(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{text}\n".encode()]

    return page


def _healthz(health: HealthSource, loop: asyncio.AbstractEventLoop) -> tuple[str, str]:
    check = asyncio.run_coroutine_threadsafe(health.unavailable(), loop)
    try:
        unavailable = check.result(ANSWER_TIMEOUT_S)
    except TimeoutError:
        check.cancel()
        return _UNAVAILABLE, f"the process has not answered for {ANSWER_TIMEOUT_S:g} s"
    if unavailable:
        return _UNAVAILABLE, "\n".join(f"waits for {server}: {why}" for server, why in sorted(unavailable.items()))
    return _OK, "ok"
