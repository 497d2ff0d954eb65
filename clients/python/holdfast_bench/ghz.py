"""Runs ghz, the gRPC load generator, and reads its report.

There is no such wrapper on PyPI. ghz exits with 0 even if every call failed, its percentiles skip errors and end at
p99, and it keeps the details of at most a million calls; so this raises on errors and leaves percentiles to `Report`.
"""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from holdfast.inventory.v1 import inventory_service_pb2

from holdfast_bench.load import METHOD, Claim, Ended, Load, LoadFailed, Report, check_sent

VERSION = "v0.121.0"
INSTALL = f"go install github.com/bojand/ghz/cmd/ghz@{VERSION}"
MOST_DETAILS = 1_000_000
STARTING_S = 30.0
CALL_TIMEOUT = "20s"
PROXIES = ("http_proxy", "https_proxy")
OK = "OK"


def missing() -> str | None:
    """What this needs and does not find, in words; None if it finds it."""
    return None if binary() else f"ghz is not on the PATH nor at HOLDFAST_GHZ; install it with: {INSTALL}"


def run(load: Load) -> Report:
    """Put the load on a server; LoadFailed unless every call was answered OK."""
    return asyncio.run(run_beside(load))


async def run_beside(load: Load) -> Report:
    """The same, while the caller does other things."""
    with tempfile.TemporaryDirectory() as folder:
        await _run(command(load, Path(folder)), load)
        report = _written(_output(Path(folder)))
    return read_report(report, load.scheduled)


def command(load: Load, folder: Path) -> list[str]:
    """The command line, whose files lie in a folder that only this user may read: a token is one of them."""
    files = {"data.json": json.dumps([request(claim, load.series) for claim in load.all_claims])}
    if load.token:
        files["metadata.json"] = json.dumps({"authorization": f"Bearer {load.token}"})
    for name, content in files.items():
        (folder / name).write_text(content)
    (folder / "protoset.bin").write_bytes(protoset())
    return [
        binary(),
        *(("--metadata-file", str(folder / "metadata.json")) if load.token else ()),
        *("--data-file", str(folder / "data.json"), "--disable-template-functions"),
        *("--protoset", str(folder / "protoset.bin"), "--call", METHOD.replace("/", ".")),
        *("--duration", f"{load.seconds}s", "--duration-stop", "wait", "--timeout", CALL_TIMEOUT),
        *("--connections", str(load.connections), "--concurrency", str(load.connections * load.streams)),
        *_schedule(load),
        *_encryption(load),
        *("--format", "json", "--output", str(_output(folder)), load.address),
    ]


def request(claim: Claim, series: int | str) -> dict[str, object]:
    """One Reserve, whose ids ghz completes with the number of the call."""
    return {
        "sale_id": claim.sale_id,
        "reservation_id": f"g{series}-{{{{.RequestNumber}}}}",
        "buyer_id": f"b{series}-{{{{.RequestNumber}}}}",
        "lines": [{"sku": sku, "quantity": quantity} for sku, quantity in claim.lines.items()],
    }


def read_report(report: Mapping[str, Any], scheduled: float | None = None) -> Report:
    """Take ghz's JSON apart; LoadFailed if a call failed, calls or details are missing, or none was made."""
    details: Sequence[Mapping[str, Any]] = report.get("details") or []
    codes: Mapping[str, int] = report["statusCodeDistribution"]
    if len(details) != report["count"] or report["count"] >= MOST_DETAILS:
        raise LoadFailed(f"ghz kept the details of {len(details)} of {report['count']} calls: ask for a shorter run")
    if codes.keys() != {OK}:
        raise LoadFailed(f"calls failed, of {len(details)}: {codes}, {report.get('errorDistribution')}")
    check_sent(len(details), scheduled)
    ended = [ended_call(detail) for detail in details]
    return Report(len(ended), report["total"] / 1e9, sorted(call.latency_ms for call in ended), ended=ended)


def ended_call(detail: Mapping[str, Any]) -> Ended:
    """One call from its details; the timestamp is that of its end."""
    at = datetime.fromisoformat(detail["timestamp"]).timestamp()
    return Ended(at, detail["latency"] / 1e6)


async def _run(arguments: Sequence[str], load: Load) -> None:
    """Run ghz to its end, in a session of its own so that Ctrl-C is for this process to judge."""
    environment = {name: value for name, value in os.environ.items() if load.use_proxy or name.lower() not in PROXIES}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=pipe, stderr=pipe, env=environment, start_new_session=True
    )
    try:
        async with asyncio.timeout(load.seconds + STARTING_S):
            output, errors = await process.communicate()
    except TimeoutError:
        raise LoadFailed("ghz did not come to an end") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = errors.decode().strip() or output.decode().strip()
        raise LoadFailed(f"ghz ended with {process.returncode}: {said}")


def binary() -> str:
    """Where ghz is: HOLDFAST_GHZ, or the one on the PATH; empty if there is none."""
    found = os.environ.get("HOLDFAST_GHZ") or shutil.which("ghz") or ""
    return found if Path(found).is_file() else ""


def _output(folder: Path) -> Path:
    return folder / "report.json"


def _written(file: Path) -> Mapping[str, Any]:
    """What ghz wrote; it may end with 0 and without a file."""
    if not file.exists():
        raise LoadFailed("ghz ended without a report")
    report: Mapping[str, Any] = json.loads(file.read_bytes())
    return report


def _schedule(load: Load) -> Iterator[str]:
    if load.rate is None:
        return
    yield "--async"
    start, end = round(load.rate), round(load.rate if load.to_rate is None else load.to_rate)
    if start == end:
        yield from ("--rps", f"{start}")
    else:
        yield from ("--load-schedule", "line", "--load-start", f"{start}", "--load-end", f"{end}")
        yield f"--load-step={load.slope}"  # as one word, or ghz takes a number below zero for an option


def _encryption(load: Load) -> Iterator[str]:
    if load.tls is None:
        yield "--insecure"
        return
    for option in ("--cacert", "--cert", "--key"):
        file = {"--cacert": load.tls.ca_file, "--cert": load.tls.cert_file, "--key": load.tls.key_file}[option]
        if file:
            yield from (option, str(file))


def protoset() -> bytes:
    """The descriptions of Reserve's messages, and of all that they use, before those that use them."""
    files: dict[str, FileDescriptorProto] = {}

    def add(file: FileDescriptor) -> None:
        for used in file.dependencies:
            add(used)
        if file.name not in files:
            files[file.name] = FileDescriptorProto.FromString(file.serialized_pb)

    add(inventory_service_pb2.DESCRIPTOR)
    return FileDescriptorSet(file=files.values()).SerializeToString()
