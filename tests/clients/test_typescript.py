"""The TypeScript client: its stubs are those of the protos, and a shop can do all it needs with them."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from holdfast.blocking import BlockingClient

from tests.node_packages import NoNode, install_packages, npm_cache

ROOT = Path(__file__).resolve().parents[2]
RUN_S = 150.0

pytestmark = pytest.mark.timeout(600)  # the packages are downloaded, and a stack is started


class Copy(NamedTuple):
    """A copy of the client with its packages, and the environment of its commands."""

    folder: Path
    environment: Mapping[str, str]

    def run(self, *command: str, cwd: Path | None = None, **settings: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of it to the end, whatever its exit code."""
        return subprocess.run(
            command,
            cwd=cwd or self.folder,
            env={**self.environment, **settings},
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The client in a folder of its own, or the reason why it cannot be tried."""
    folder = tmp_path_factory.mktemp("typescript") / "client"
    try:
        return Copy(folder, install_packages(folder))
    except NoNode as reason:
        pytest.skip(str(reason))


def test_the_committed_stubs_are_those_of_the_protos(client: Copy) -> None:
    """ts-proto, at the version of the lock file, writes them again byte by byte."""
    script = str(ROOT / "clients" / "typescript" / "generate_stubs.py")

    succeed(client.run(sys.executable, script, "check", cwd=ROOT))


def test_the_example_of_the_readme_reserves(client: Copy, address: str, tmp_path: Path) -> None:
    """In a project of its own, which has the client as a package, and type checks."""
    [example] = re.findall(r"^```ts\n(.*?)^```", (client.folder / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "example.mts").write_text(example.replace("127.0.0.1:50051", address))
    with BlockingClient(address) as shop:
        shop.create_sale("lamps", {"lamp": 1})

    succeed(client.run("npm", "run", "build"))
    succeed(client.run("npm", "pack", "--pack-destination", str(tmp_path)))
    [package] = tmp_path.glob("*.tgz")
    settings = {"npm_config_cache": str(npm_cache()), "npm_config_prefer_offline": "true"}
    packages = [str(package), *versions_of(client, "@grpc/grpc-js", "@types/node")]
    succeed(client.run("npm", "install", "--ignore-scripts", *packages, cwd=tmp_path, **settings))
    succeed(client.run("tsc", "--strict", "--module", "nodenext", "--target", "es2022", "example.mts", cwd=tmp_path))
    done = client.run("node", "example.mjs", cwd=tmp_path)

    assert done.stdout.startswith("held until"), done.stdout + done.stderr


def succeed(done: "subprocess.CompletedProcess[str]") -> None:
    """Fail with what a command said if it failed."""
    assert done.returncode == 0, done.stdout + done.stderr


def versions_of(client: Copy, *names: str) -> list[str]:
    """The packages at the versions that the client is tried with, as npm takes them."""
    versions = json.loads((client.folder / "package.json").read_text())["devDependencies"]
    return [f"{name}@{versions[name]}" for name in names]


async def test_a_shop_can_do_all_it_needs(client: Copy, address: str, secured: Mapping[str, Any]) -> None:
    """The tests of the client itself, on a stack as `holdfast up` runs it, and on servers that ask for TLS, tokens and
    certificates.
    """
    done = await asyncio.to_thread(lambda: client.run("npm", "test", HOLDFAST_ADDRESS=address, **secured))

    print(done.stdout)
    assert done.returncode == 0, done.stderr
    counts = dict(re.findall(r"^\S (pass|fail|skipped) (\d+)$", done.stdout, re.MULTILINE))
    assert int(counts.pop("pass")) >= 29
    assert counts == {"fail": "0", "skipped": "0"}
