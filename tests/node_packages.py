"""Installs the packages of clients/typescript where Node.js is at hand, in a copy: the checkout stays as it is."""

import os
import re
import shutil
import subprocess
from pathlib import Path

TYPESCRIPT = Path(__file__).resolve().parents[1] / "clients" / "typescript"
OLDEST_NODE = 20
PROBE_S, INSTALL_S = 30.0, 300.0
MADE = shutil.ignore_patterns("node_modules", "dist")
NO_REGISTRY = re.compile(r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH)\b")


class NoNode(Exception):
    """There is no Node.js that can be used; the message says why."""


def install_packages(folder: Path) -> dict[str, str]:
    """Copy the client to a new folder and install its packages there; return the environment of its commands.

    Raises NoNode without Node.js, with one that is too old, and if no registry can be reached.
    """
    check_node()
    shutil.copytree(TYPESCRIPT, folder, ignore=MADE)
    command = ["npm", "ci", "--prefer-offline", "--fetch-retries=1", "--cache", str(npm_cache())]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    if done.returncode != 0 and (failed := NO_REGISTRY.search(done.stderr)):
        raise NoNode(f"npm reaches no registry: {failed[0]}")
    assert done.returncode == 0, done.stderr
    return {**os.environ, "PATH": f"{folder / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}"}


def npm_cache() -> Path:
    """Where npm keeps what it has downloaded: outside the checkout, from run to run."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "holdfast" / "npm"


def check_node() -> None:
    """Raise NoNode unless Node.js and npm are at hand."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise NoNode("Node.js and npm are not installed")
    asked = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=PROBE_S, check=True)
    [version] = re.findall(r"^v(\d+)", asked.stdout)
    if int(version) < OLDEST_NODE:
        raise NoNode(f"Node.js {asked.stdout.strip()} is older than {OLDEST_NODE}")
