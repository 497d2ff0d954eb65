"""The Go client: its stubs are those of the protos, its own tests pass, and a shop can do all it needs with it."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "clients" / "go"
PROBE_S, DOWNLOAD_S, RUN_S = 30.0, 200.0, 400.0  # a build takes a minute on two cores that do nothing else
NO_PROXY_REACHED = re.compile(
    r"no such host|connection refused|i/o timeout|network is unreachable|module lookup disabled"
)
MAIN = """package main

import (
	"fmt"

	"holdfast"
	inventoryv1 "holdfast/inventory/v1"
)

func main() {
	shop, err := holdfast.New("127.0.0.1:50051")
	fmt.Println(err, shop.Close(), inventoryv1.SaleState_SALE_STATE_OPEN)
}
"""

pytestmark = pytest.mark.timeout(900)  # modules are downloaded and built, and a stack is started


class NoGo(Exception):
    """There is no Go that can be used; the message says why."""


def run(
    *command: str, cwd: Path = CLIENT, timeout_s: float = RUN_S, **settings: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, whatever its exit code; Go downloads no other Go for it."""
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off", **settings}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )


def succeed(done: "subprocess.CompletedProcess[str]") -> str:
    """What a command printed; fails with all that it said if it failed."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def find_go() -> str:
    """Go, with the modules of the client; raises NoGo without one, with one that is too old, and without a proxy."""
    go = shutil.which("go")
    if go is None:
        raise NoGo("Go is not installed")
    [oldest] = re.findall(r"^go (\S+)$", (CLIENT / "go.mod").read_text(), re.MULTILINE)
    found = succeed(run(go, "env", "GOVERSION", cwd=ROOT, timeout_s=PROBE_S)).strip().removeprefix("go")
    if numbers(found) < numbers(oldest):
        raise NoGo(f"Go {found} is older than {oldest}")
    done = run(go, "mod", "download", timeout_s=DOWNLOAD_S)
    if done.returncode != 0 and NO_PROXY_REACHED.search(done.stderr):
        raise NoGo(f"Go's modules cannot be downloaded: {done.stderr.strip()}")
    succeed(done)
    return go


def numbers(version: str) -> list[int]:
    """A version as numbers that compare: `1.26.0`, or `1.27rc1`."""
    return [int(part) for part in re.findall(r"\d+", version)]


@pytest.fixture(scope="session")
def go() -> str:
    """The go command, or the reason why the client cannot be tried."""
    try:
        return find_go()
    except NoGo as reason:
        pytest.skip(str(reason))


def test_the_committed_stubs_are_those_of_the_protos(go: str) -> None:
    """protoc's plugins, at the versions of go.mod, write them again byte by byte."""
    succeed(run(sys.executable, "clients/go/generate_stubs.py", "check", cwd=ROOT))


def test_the_code_is_formatted_and_has_no_known_mistakes(go: str) -> None:
    """gofmt and go vet, as everyone runs them; go.mod and go.sum name what is used, and nothing else."""
    assert succeed(run("gofmt", "-l", ".")) == ""
    succeed(run(go, "vet", "./..."))
    succeed(run(go, "mod", "tidy", "-diff"))


async def test_a_shop_can_do_all_it_needs(go: str, address: str, secured: Mapping[str, Any]) -> None:
    """The tests of the client itself, which are skipped without a server: on a stack as `holdfast up` runs it, and on
    servers that ask for TLS and tokens or certificates.
    """
    command = (go, "test", "-count=1", "-json", "./...")
    done = await asyncio.to_thread(lambda: run(*command, HOLDFAST_ADDRESS=address, **secured))

    events = [json.loads(line) for line in done.stdout.splitlines()]
    print("".join(event.get("Output", "") for event in events), done.stderr)
    ended = {event["Test"]: event["Action"] for event in events if "Test" in event and event["Action"] in ENDS}
    assert done.returncode == 0
    assert Counter(ended.values()).keys() == {"pass"}
    assert len([name for name in ended if name.startswith("TestConformance")]) >= 10
    assert len([name for name in ended if name.startswith("TestSecured")]) >= 4


ENDS = ("pass", "fail", "skip")


def test_another_module_imports_it(go: str, tmp_path: Path) -> None:
    """As the README says: the module is on no registry, so the caller's go.mod says where it lies."""
    (tmp_path / "main.go").write_text(MAIN)
    [commands] = re.findall(r"^```sh\n(.*?)^```", (CLIENT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    here = commands.replace("../holdfast/clients/go", str(CLIENT))
    succeed(run(go, "mod", "init", "example.com/shop", cwd=tmp_path))

    succeed(run("bash", "-euc", here, cwd=tmp_path))

    assert succeed(run(go, "run", ".", cwd=tmp_path)).split() == ["<nil>", "<nil>", "SALE_STATE_OPEN"]
