"""`holdfast bench` puts a load on a stack, and the books of what it bought are right; no time is asserted."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from holdfast.client import Client
from holdfast.inventory.v1.sale_pb2 import Sale, SaleState
from holdfast_bench.ghz import INSTALL

from tests.clients.test_go import NO_PROXY_REACHED
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
INSTALL_S, RUN_S, ENDS_S = 300.0, 200.0, 60.0
UNITS = 12_345  # of the sale of the interrupted run, and of no other
BENCH = (sys.executable, "-m", "holdfast.cli", "bench")

pytestmark = pytest.mark.timeout(500)  # ghz may have to be built, and a stack is started


@pytest.fixture(scope="session")
def ghz(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where ghz is: as the command finds it, or as its message says to install it."""
    if found := os.environ.get("HOLDFAST_GHZ") or shutil.which("ghz"):
        return found
    go = shutil.which("go")
    if go is None:
        pytest.skip("neither ghz nor Go is installed")
    folder = tmp_path_factory.mktemp("ghz")
    settings = {**os.environ, "GOTOOLCHAIN": "local", "GOBIN": str(folder)}
    command = [go, *INSTALL.split()[1:]]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    if done.returncode and NO_PROXY_REACHED.search(done.stderr):
        pytest.skip(f"ghz cannot be downloaded: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return str(folder / "ghz")


def environment(ghz: str, address: str) -> dict[str, str]:
    """What the command is set to."""
    return {**os.environ, "HOLDFAST_GHZ": ghz, "HOLDFAST_ADDRESS": address}


def test_a_shape_runs_and_its_books_are_right(ghz: str, address: str) -> None:
    """Every call is answered, each of the few units is held once, and the ledger says the same."""
    command = [*BENCH, "sold-out", "--seconds", "8", "--scale", "0.2", "--audit", "--json"]

    done = subprocess.run(
        command, env=environment(ghz, address), capture_output=True, text=True, timeout=RUN_S, check=False
    )

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["audited"], result["units"]["taken"]) == (True, 1000)
    answered = result["units"]["calls_accepted"] + result["units"]["calls_rejected"]
    assert answered == result["calls"] == sum(result["over_time"]["ok"])
    assert sum(count for _, count in result["histogram"]) == result["calls"]
    assert result["codes"] == {"OK": answered}


def test_the_benchmark_of_all_shapes_runs(ghz: str, tmp_path: Path) -> None:
    """One shape in small, on a stack of its own: a JSON whose audit was made, and the page that shows it."""
    command = [sys.executable, "-m", "bench.suite", "cart", "--seconds", "2", "--scale", "0.1"]
    run = partial(subprocess.run, cwd=ROOT, capture_output=True, text=True, timeout=RUN_S, check=False)

    done = run([*command, "--results", str(tmp_path)], env={**os.environ, "HOLDFAST_GHZ": ghz})
    shown = run([sys.executable, "-m", "bench.page", str(tmp_path)])

    assert (done.returncode, shown.returncode) == (0, 0), done.stderr + shown.stderr
    result = json.loads((tmp_path / "cart.json").read_text())
    assert result["audit"].startswith("Redis and the ledger agree")
    assert result["units"]["calls_accepted"] == result["codes"]["OK"] > 0
    assert sum(result["ledger_lag"]["commits"]) > 0, "the ledger is behind while units are sold"
    assert result["ledger_lag"]["caught_up_after_s"] >= 0
    assert all(used["cpu_s"] > 0 for used in result["processes"].values())
    assert "Cart of five lines" in (tmp_path / "index.html").read_text()


def test_the_benchmark_of_growth_runs(ghz: str, tmp_path: Path) -> None:
    """By one caller and by ten: a JSON with the CPU of each, after an audit."""
    command = [sys.executable, "-m", "bench.growth", "--only", "callers", "--most", "10", "--rounds", "1"]
    run = partial(subprocess.run, cwd=ROOT, capture_output=True, text=True, timeout=RUN_S, check=False)

    done = run([*command, "--seconds", "0.5", "--results", str(tmp_path)], env={**os.environ, "HOLDFAST_GHZ": ghz})

    assert done.returncode == 0, done.stderr
    assert "callers: Redis and the ledger agree" in done.stderr
    points = json.loads((tmp_path / "growth.json").read_text())["points"]["callers"]
    assert [point["of"] for point in points] == [1, 10]
    assert all(point["cpu_us"][process] > 0 for point in points for process in ("serve", "valkey"))


async def test_an_interrupted_run_leaves_nothing_open(ghz: str, address: str, tmp_path: Path) -> None:
    """Ctrl-C ends ghz, and closes the sale with all that is held."""
    odd = tmp_path / "odd.toml"
    odd.write_text(f'title = "Odd"\nsummary = "."\n[sales]\nunits = {UNITS}\n[[load]]\nseconds = 60\nrate = 50\n')
    async with Client(address) as client:
        process = await asyncio.create_subprocess_exec(
            *BENCH, str(odd), env=environment(ghz, address), stderr=asyncio.subprocess.PIPE
        )
        try:
            sale = await eventually(lambda: selling(client), ENDS_S)
            process.send_signal(signal.SIGINT)
            _, errors = await asyncio.wait_for(process.communicate(), ENDS_S)
        finally:
            if process.returncode is None:
                process.kill()

        assert (process.returncode, errors) == (130, b"holdfast: interrupted; its sales are closed\n")
        assert (await client.get_sale(sale.sale_id)).sale.state == SaleState.SALE_STATE_CLOSED
        await eventually(lambda: is_all_back(client, sale.sale_id))


async def is_all_back(client: Client, sale_id: str) -> bool:
    """Nothing of a sale is held any more; many holds are released by and by."""
    [item] = (await client.get_sale(sale_id)).sale.items
    return (item.held, item.available) == (0, UNITS)


async def selling(client: Client) -> Sale | None:
    """The sale of the interrupted run, once a unit of it is held."""
    async for listed in client.list_sales(states=[SaleState.SALE_STATE_OPEN]):
        sale = (await client.get_sale(listed.sale_id)).sale
        if sale.items[0].total == UNITS and sale.items[0].held:
            return sale
    return None
