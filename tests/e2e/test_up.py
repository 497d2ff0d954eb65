"""`holdfast up` by the installed command: data after a restart, no process left behind, external servers."""

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from holdfast_embedded.ports import free_port
from holdfast_embedded.process import spawn, wait_for_exit, wait_until

from tests.e2e.shell import run
from tests.servers import REAL, StartBroker, StartPostgres, StartValkey
from tests.stacks import ENVIRONMENT

pytestmark = pytest.mark.timeout(400)  # the waits' own deadlines come first, and say more
embedded = pytest.mark.skipif(REAL, reason="starts embedded servers in any case, as `make test` does")
HOLDFAST = Path(sys.executable).with_name("holdfast")
SERVERS, PROCESSES = {"valkey", "postgres", "broker"}, {"serve", "relay", "persist", "compensate"}
EMBEDDED: Mapping[str, str] = {}  # addresses of real servers: none
RESERVE = ("reserve", "lamp-sale", "--line", "lamp=1", "--buyer")
STARTS_S, STOPS_S, ANSWERS_S, RECORDS_S = 120.0, 90.0, 60.0, 60.0


class Terminal:
    """Runs commands against a running `holdfast up`."""

    def __init__(self, process: "subprocess.Popen[bytes]", state: dict[str, Any]) -> None:
        addresses = state["addresses"]
        self.supervisor = process
        self.processes: dict[str, int] = state["processes"]
        self.children = psutil.Process(process.pid).children(recursive=True)
        self._environment = {
            **ENVIRONMENT,
            "HOLDFAST_ADDRESS": addresses["listen"],
            "HOLDFAST_REDIS_URL": addresses["redis_url"],
            "HOLDFAST_POSTGRES_DSN": addresses["postgres_dsn"],
        }

    def holdfast(self, *words: str) -> str:
        """Run one command, which must succeed; return what it printed."""
        done = run([HOLDFAST, *words], self._environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def reservation(self, *words: str) -> Any:
        """The reservation that a command prints as JSON."""
        return json.loads(self.holdfast(*words, "--json"))["reservation"]

    def is_recorded(self, sale_id: str, reservation_id: str) -> bool:
        """The ledger has recorded it."""
        return bool(self.reservation("get", sale_id, reservation_id)["ledger_state"] == "LEDGER_STATE_RECORDED")


@contextmanager
def up(data_dir: Path, log: Path, real: Mapping[str, str] = EMBEDDED) -> Iterator[Terminal]:
    """`holdfast up` inside the block, until Ctrl-C ends it; it leaves no process behind."""
    command: list[str | Path] = [HOLDFAST, "up", "--data-dir", data_dir, "--listen", f"127.0.0.1:{free_port()}"]
    with log.open("ab") as output:
        process = spawn(command, env={**ENVIRONMENT, **real}, stdout=output, stderr=output, death_signal=signal.SIGTERM)
    try:
        wait_until(lambda: process.poll() is not None or state_of(data_dir).get("ready", False), STARTS_S)
        assert state_of(data_dir).get("ready"), log.read_text()
        terminal = Terminal(process, state_of(data_dir))
        yield terminal
        process.send_signal(signal.SIGINT)
        assert wait_for_exit(process, within_s=STOPS_S), log.read_text()
        assert process.returncode == 0, log.read_text()
        _, alive = psutil.wait_procs(terminal.children, timeout=STOPS_S)
        assert alive == [], log.read_text()
    finally:
        process.kill()
        process.wait()


def state_of(data_dir: Path) -> dict[str, Any]:
    """The stack.json of a running stack; empty if none runs."""
    try:
        state: dict[str, Any] = json.loads((data_dir / "stack.json").read_text())
    except FileNotFoundError:
        return {}
    return state


class SecondStart(NamedTuple):
    """`holdfast up` on a folder in which a unit was bought and another is held since it ran before."""

    terminal: Terminal
    bought: Any  # the reservation as it was printed then
    log: Path


@pytest.fixture(scope="module")
def second_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecondStart]:
    """It was stopped right after an answer, and runs again."""
    folder = tmp_path_factory.mktemp("up")
    with up(folder / "data", folder / "log") as terminal:
        terminal.holdfast("sale", "create", "lamp-sale", "--item", "lamp=5", "--hold", "1h")
        terminal.holdfast(*RESERVE, "ann", "--id", "bought")
        bought = terminal.reservation("confirm", "lamp-sale", "bought")
        terminal.holdfast(*RESERVE, "bob", "--id", "held")

    with up(folder / "data", folder / "log-of-second") as terminal:
        yield SecondStart(terminal, bought, folder / "log-of-second")


@embedded
def test_sales_survive_a_restart_of_up(second_start: SecondStart) -> None:
    """Promises 2 and 7: stopped right after an answer, the stack continues with its data, under a newer epoch."""
    terminal = second_start.terminal
    bought = terminal.reservation("get", "lamp-sale", "bought")
    held = terminal.reservation("confirm", "lamp-sale", "held")
    later = terminal.reservation(*RESERVE, "carl", "--id", "later")
    stock = terminal.holdfast("sale", "show", "lamp-sale").splitlines()[-1].split()

    assert bought["state"] == held["state"] == "RESERVATION_STATE_CONFIRMED"
    assert bought["position"] == second_start.bought["position"]
    assert later["position"]["epoch"] > bought["position"]["epoch"]
    assert stock == ["lamp", "2", "1", "2", "5"]
    assert wait_until(lambda: terminal.is_recorded("lamp-sale", "bought"), RECORDS_S)
    assert json.loads(terminal.holdfast("audit", "--json"))["consistent"]


@embedded
def test_up_prints_the_addresses_of_its_servers(second_start: SecondStart) -> None:
    """Their ports are chosen at the start, so an audit in another terminal needs their addresses."""
    assert wait_until(lambda: "there: export " in second_start.log.read_text(), STARTS_S)
    exports = shlex.split(second_start.log.read_text().partition("there: export ")[2].partition("\n")[0])
    environment = {**ENVIRONMENT, **dict(word.split("=", 1) for word in exports)}

    audit = run([HOLDFAST, "audit"], environment)

    def all_answer() -> bool:
        """Every server has answered the doctor; one that is halted for seconds does not."""
        doctor = run([HOLDFAST, "doctor"], environment)
        return "Kafka" in doctor.stdout and "answers = no" not in doctor.stdout

    assert wait_until(all_answer, ANSWERS_S)
    assert audit.returncode == 0
    assert audit.stdout.startswith("Redis and the ledger agree: 16 shards, 1 sale")


@pytest.mark.skipif(not REAL, reason="`make test-real` runs it, with Redis, PostgreSQL and Apache Kafka")
def test_real_servers_take_the_places_of_the_embedded_ones(
    tmp_path: Path, start_valkey: StartValkey, start_postgres: StartPostgres, start_broker: StartBroker
) -> None:
    """All three by their variables: none is started, and everything is prepared and kept where they point."""
    redis, postgres, broker = start_valkey(), start_postgres(), start_broker()
    addresses = {
        "HOLDFAST_REDIS_URL": redis.address,
        "HOLDFAST_POSTGRES_DSN": postgres.address,
        "HOLDFAST_KAFKA_BROKERS": broker.address,
    }
    with up(tmp_path / "data", tmp_path / "log", real=addresses) as terminal:
        terminal.holdfast("sale", "create", "lamp-sale", "--item", "lamp=5")
        terminal.holdfast("reserve", "lamp-sale", "--line", "lamp=1", "--buyer", "ann", "--id", "r-1")

        assert set(terminal.processes) == PROCESSES
        assert wait_until(lambda: terminal.is_recorded("lamp-sale", "r-1"), RECORDS_S)
        assert json.loads(terminal.holdfast("audit", "--json"))["consistent"]
    assert not any((tmp_path / "data" / name).exists() for name in SERVERS)
