"""Runs ghz, the gRPC load generator, and reads its report.

There is no such wrapper on PyPI. ghz exits with 0 even if every call failed, its percentiles skip errors and end at
p99, and it keeps the details of at most a million calls; so this raises on errors and leaves percentiles to `Report`.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.load import METHOD, SKU, Load, LoadFailed, Report
from bench.machine import ROOT

PROTO = "holdfast/inventory/v1/inventory_service.proto"
VERSION = "v0.121.0"
INSTALL = f"go install github.com/bojand/ghz/cmd/ghz@{VERSION}"
MOST_DETAILS = 1_000_000
STARTING_S = 30.0


def missing() -> str | None:
    """What this needs and does not find, in words; None if it finds it."""
    return None if _binary() else f"ghz is not on the PATH nor at HOLDFAST_GHZ; install it with: {INSTALL}"


def run(load: Load) -> Report:
    """Put the load on a server; LoadFailed unless every call was answered OK."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "report.json"
        command = [_binary(), *_arguments(load), "--output", str(output), load.address]
        deadline_s = load.seconds + STARTING_S
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=deadline_s, cwd=ROOT, check=False)
        except subprocess.TimeoutExpired:
            raise LoadFailed("ghz did not come to an end") from None
        if ended.returncode or not output.exists():
            raise LoadFailed(f"ghz ended with {ended.returncode}: {ended.stderr.strip() or ended.stdout.strip()}")
        return read_report(json.loads(output.read_text()))


def read_report(report: Mapping[str, Any]) -> Report:
    """Take ghz's JSON apart; LoadFailed if a call failed or details are missing."""
    failed = {code: count for code, count in report["statusCodeDistribution"].items() if code != "OK"}
    if failed:
        raise LoadFailed(f"calls failed: {failed}, {report.get('errorDistribution')}")
    details = report["details"]
    if len(details) != report["count"] or report["count"] >= MOST_DETAILS:
        raise LoadFailed(f"ghz kept the details of {len(details)} of {report['count']} calls: ask for a shorter run")
    latencies = sorted(detail["latency"] / 1e6 for detail in details)
    return Report(report["count"], report["total"] / 1e9, latencies)


def _binary() -> str:
    """HOLDFAST_GHZ, or the one on the PATH; empty if there is none."""
    found = os.environ.get("HOLDFAST_GHZ") or shutil.which("ghz") or ""
    return found if Path(found).is_file() else ""


def _arguments(load: Load) -> list[str]:
    google = find_spec("google.rpc")
    assert google is not None
    assert google.submodule_search_locations is not None
    imports = ["protos", str(Path(next(iter(google.submodule_search_locations))).parent.parent)]
    request = {
        "sale_id": load.sale_id,
        "reservation_id": f"g{load.series}-{{{{.RequestNumber}}}}",
        "buyer_id": f"b{load.series}-{{{{.RequestNumber}}}}",
        "lines": [{"sku": SKU, "quantity": 1}],
    }
    return [
        *("--insecure", "--proto", f"protos/{PROTO}", "--import-paths", ",".join(imports)),
        *("--call", METHOD.replace("/", "."), "--data", json.dumps(request), "--disable-template-functions"),
        *("--duration", f"{load.seconds}s", "--duration-stop", "wait", "--format", "json"),
        *("--connections", str(load.connections), "--concurrency", str(load.connections * load.streams)),
        *(["--metadata", json.dumps({"authorization": f"Bearer {load.token}"})] if load.token else []),
    ]
