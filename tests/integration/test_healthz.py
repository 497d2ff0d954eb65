"""/healthz of every process: 503 and the server's name while a server that it needs is down, and 200 afterwards."""

import asyncio
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from holdfast_embedded.ports import free_port
from holdfast_embedded.process import spawn, terminate

from order_persister.wiring import persist
from tests.persister_process import environment
from tests.servers import PARTITIONS, StartBroker, StartValkey
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(180)
PROCESSES = ("serve", "relay", "compensate", "persist")
CHANGES_S = 60.0


class Processes:
    """One of each process, and its /healthz page."""

    def __init__(self, pages: Mapping[str, str]) -> None:
        self._pages = pages

    async def waited_for(self) -> dict[str, set[str]]:
        """The servers that each process waits for according to its page; none if it answers 200."""
        answers = await asyncio.gather(*(asyncio.to_thread(read_page, page) for page in self._pages.values()))
        return dict(zip(self._pages, answers, strict=True))


def read_page(page: str) -> set[str]:
    try:
        with urllib.request.urlopen(page, timeout=CHANGES_S) as answer:
            assert (answer.status, answer.read()) == (200, b"ok\n")
            return set()
    except urllib.error.HTTPError as error:
        if error.code != 503:
            return {f"status {error.code}"}
        return {line.split()[2].removesuffix(":") for line in error.read().decode().splitlines()}
    except OSError:
        return {"its start"}


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[ExitStack]:
    with ExitStack() as running:
        yield running


async def test_healthz_is_503_while_a_process_waits_for_a_server(
    start_valkey: StartValkey, start_broker: StartBroker, database: str, processes: ExitStack, tmp_path: Path
) -> None:
    """Each names the servers that it needs and no others: without Kafka or the ledger a server sells all the same."""
    redis, broker = start_valkey(), start_broker()
    settings = {
        **environment(broker.address, database),
        "HOLDFAST_REDIS_URL": redis.address,
        "HOLDFAST_SHARDS": str(PARTITIONS),
    }
    running = start_all(processes, settings, tmp_path)
    none_waiting: dict[str, set[str]] = {name: set() for name in PROCESSES}

    async def are(**waited_for: set[str]) -> bool:
        """Each process waits for these servers."""
        found = await running.waited_for()
        assert found == {**none_waiting, **waited_for}
        return True

    await eventually(are, CHANGES_S)
    await asyncio.to_thread(broker.down)
    await eventually(lambda: are(relay={"Kafka"}, compensate={"Kafka"}, persist={"Kafka"}), CHANGES_S)
    await asyncio.to_thread(broker.up)
    await eventually(are, CHANGES_S)
    await asyncio.to_thread(redis.kill)
    await eventually(lambda: are(serve={"Redis"}, relay={"Redis"}, compensate={"Redis"}), CHANGES_S)
    await asyncio.to_thread(redis.start)
    await eventually(are, CHANGES_S)


def start_all(processes: ExitStack, settings: Mapping[str, str], folder: Path) -> Processes:
    """Start one of each, with a page on a port of its own."""
    pages = {}
    for name in PROCESSES:
        listen = f"127.0.0.1:{free_port()}"
        pages[name] = f"http://{listen}/healthz"
        module = "order_persister" if name == persist.COMMAND.name else "inventory_service"
        more = {"HOLDFAST_METRICS_LISTEN": listen, "HOLDFAST_LISTEN": "127.0.0.1:0"}
        log = processes.enter_context((folder / f"{name}.log").open("wb"))
        process = spawn([sys.executable, "-m", module, name], env={**settings, **more}, stderr=log)
        processes.callback(terminate, process, [], 0)
    return Processes(pages)
