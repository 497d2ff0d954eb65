"""Run ghz, the gRPC load generator, and read its report without its traps.

There is no such wrapper on PyPI. ghz exits with 0 even if every call failed, its percentiles skip errors and end at
p99, and it keeps the details of at most a million calls; so this raises on errors and computes percentiles itself.
"""

import json
import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
VERSION = "v0.121.0"
INSTALL = f"go install github.com/bojand/ghz/cmd/ghz@{VERSION}"
MOST_DETAILS = 1_000_000
STARTING_S = 30.0


class GhzFailed(RuntimeError):
    """ghz is not there, did not run, or saw calls fail; the message says which."""


@dataclass(frozen=True)
class Load:
    """What to ask for and how hard. `data` may use ghz's templates, for example {{.RequestNumber}}."""

    address: str
    method: str
    data: Mapping[str, Any]
    seconds: float
    connections: int = 10
    streams: int = 10  # calls in flight on each connection
    proto: str = "holdfast/inventory/v1/inventory_service.proto"


@dataclass(frozen=True)
class Report:
    """What came of it; every call was answered OK."""

    calls: int
    seconds: float
    latencies_ms: Sequence[float]  # sorted

    @property
    def calls_per_s(self) -> float:
        """Calls a second."""
        return self.calls / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """The latency that this share of the calls did not pass, by nearest rank."""
        rank = math.ceil(len(self.latencies_ms) * percent / 100)
        return self.latencies_ms[max(rank, 1) - 1]


def find_ghz() -> str:
    """The binary: HOLDFAST_GHZ, or the one on the PATH."""
    found = os.environ.get("HOLDFAST_GHZ") or shutil.which("ghz")
    if found is None or not Path(found).is_file():
        raise GhzFailed(f"ghz was not found on the PATH nor at HOLDFAST_GHZ. Install it with: {INSTALL}")
    return found


def run(load: Load) -> Report:
    """Put the load on a server; GhzFailed unless every call was answered OK."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "report.json"
        command = [find_ghz(), *_arguments(load), "--output", str(output), load.address]
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=load.seconds + STARTING_S, cwd=ROOT, check=False
        )
        if ended.returncode or not output.exists():
            raise GhzFailed(f"ghz ended with {ended.returncode}: {ended.stderr.strip() or ended.stdout.strip()}")
        return read_report(json.loads(output.read_text()))


def read_report(report: Mapping[str, Any]) -> Report:
    """Take ghz's JSON apart; GhzFailed if a call failed or details are missing."""
    failed = {code: count for code, count in report["statusCodeDistribution"].items() if code != "OK"}
    if failed:
        raise GhzFailed(f"calls failed: {failed}, {report.get('errorDistribution')}")
    details = report["details"]
    if len(details) != report["count"] or report["count"] >= MOST_DETAILS:
        raise GhzFailed(f"ghz kept the details of {len(details)} of {report['count']} calls: ask for a shorter run")
    latencies = sorted(detail["latency"] / 1e6 for detail in details)
    return Report(report["count"], report["total"] / 1e9, latencies)


def _arguments(load: Load) -> list[str]:
    google = find_spec("google.rpc")
    assert google is not None
    assert google.submodule_search_locations is not None
    imports = ["protos", str(Path(next(iter(google.submodule_search_locations))).parent.parent)]
    return [
        *("--insecure", "--proto", f"protos/{load.proto}", "--import-paths", ",".join(imports)),
        *("--call", load.method, "--data", json.dumps(load.data), "--disable-template-functions"),
        *("--duration", f"{load.seconds}s", "--duration-stop", "wait", "--format", "json"),
        *("--connections", str(load.connections), "--concurrency", str(load.connections * load.streams)),
    ]
