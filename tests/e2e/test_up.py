"""`holdfast up` as a person runs it, by the installed command: what it sold is there the next time."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from holdfast_embedded.child import exited, spawn, wait_until
from holdfast_embedded.ports import free_port

from tests.e2e.conftest import ENVIRONMENT

HOLDFAST = Path(sys.executable).with_name("holdfast")

STARTS_S, STOPS_S, COMMAND_S, RECORDS_S = 60.0, 30.0, 30.0, 30.0


class Terminal:
    """A person's terminal next to a running `holdfast up`."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self._environment = {
            **ENVIRONMENT,
            "HOLDFAST_ADDRESS": addresses["listen"],
            "HOLDFAST_REDIS_URL": addresses["redis_url"],
            "HOLDFAST_POSTGRES_DSN": addresses["postgres_dsn"],
        }

    def holdfast(self, *words: str) -> str:
        """Run one command, which must succeed; what it printed."""
        command = [HOLDFAST, *words]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=COMMAND_S)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def reservation(self, *words: str) -> Any:
        """The reservation that a command prints as JSON."""
        return json.loads(self.holdfast(*words, "--json"))["reservation"]

    def is_recorded(self, sale_id: str, reservation_id: str) -> bool:
        """The ledger has it for good."""
        return self.reservation("get", sale_id, reservation_id)["ledger_state"] == "LEDGER_STATE_RECORDED"


@contextmanager
def up(data_dir: Path, log: Path) -> Iterator[Terminal]:
    """`holdfast up` inside the block, until Ctrl-C, after which it ends in good order."""
    command = [HOLDFAST, "up", "--data-dir", data_dir, "--listen", f"127.0.0.1:{free_port()}"]
    with log.open("ab") as said:
        process = spawn(command, env=ENVIRONMENT, stdout=said, stderr=said, death_signal=signal.SIGTERM)
    try:
        wait_until(lambda: process.poll() is not None or state_of(data_dir).get("ready", False), STARTS_S)
        assert state_of(data_dir).get("ready"), log.read_text()
        yield Terminal(state_of(data_dir)["addresses"])
        process.send_signal(signal.SIGINT)
        assert exited(process, within_s=STOPS_S), log.read_text()
        assert process.returncode == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def state_of(data_dir: Path) -> dict[str, Any]:
    """What a running stack tells of itself; nothing if none runs."""
    path = data_dir / "stack.json"
    return json.loads(path.read_text()) if path.exists() else {}


@pytest.mark.timeout(180)
def test_what_was_sold_is_there_the_next_time(tmp_path: Path) -> None:
    """Promises 2 and 7: stopped right after an answer, everything goes on where it was, under a newer epoch."""
    data_dir, log = tmp_path / "data", tmp_path / "log"
    with up(data_dir, log) as shop:
        shop.holdfast("sale", "create", "lamp-sale", "--item", "lamp=5", "--hold", "1h")
        ask = ["reserve", "lamp-sale", "--line", "lamp=1", "--buyer"]
        shop.holdfast(*ask, "ann", "--id", "bought")
        before = shop.reservation("confirm", "lamp-sale", "bought")
        shop.holdfast(*ask, "bob", "--id", "held")

    with up(data_dir, log) as shop:
        bought = shop.reservation("get", "lamp-sale", "bought")
        held = shop.reservation("confirm", "lamp-sale", "held")
        later = shop.reservation(*ask, "carl", "--id", "later")
        stock = shop.holdfast("sale", "show", "lamp-sale").splitlines()[-1].split()

        assert bought["state"] == held["state"] == "RESERVATION_STATE_CONFIRMED"
        assert bought["position"] == before["position"]
        assert later["position"]["epoch"] > before["position"]["epoch"]
        assert stock == ["lamp", "2", "1", "2", "5"]
        assert wait_until(lambda: shop.is_recorded("lamp-sale", "bought"), RECORDS_S)
        assert json.loads(shop.holdfast("audit", "--json"))["consistent"]
