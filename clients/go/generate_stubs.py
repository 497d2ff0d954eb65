"""Generates the Go stubs from the protos, with what lies beside them, or finds committed ones that are stale.

protoc's plugins are built at the versions that go.mod pins.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from protos.client_stubs import DIGESTS, SERVICE_CONFIG, report, stale_files, write_beside
from protos.compile import PACKAGE, all_files, protoc

GO = Path(__file__).resolve().parent
STUBS = "inventory/v1"  # what Go imports is this behind the name of the module
MODULE = PACKAGE.removesuffix(f"/{STUBS}")
WRITTEN = [f"{STUBS}/*.pb.go", f"{STUBS}/{SERVICE_CONFIG.name}", f"{STUBS}/{DIGESTS}"]
BUILD_S = 400.0  # the downloads, and half a minute on two cores that do something else too
USAGE = "usage: generate_stubs.py stubs | check"


def main(arguments: list[str]) -> int:
    """Write or compare the stubs; the exit code is 1 if they are stale or Go is missing, 2 for bad arguments."""
    if arguments not in (["stubs"], ["check"]):
        print(USAGE, file=sys.stderr)
        return 2
    if shutil.which("go") is None:
        print("Go is not installed.", file=sys.stderr)
        return 1
    if arguments == ["check"]:
        return report(GO, stale_files(GO, write_stubs, WRITTEN), "make go-stubs")
    for stubs in (GO / STUBS).glob("*.pb.go"):
        stubs.unlink()
    write_stubs(GO)
    return 0


def write_stubs(client: Path) -> None:
    """Write the stubs of a client, and what lies beside them."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["go", "install", "tool"], cwd=GO, env={**os.environ, "GOBIN": folder}, timeout=BUILD_S, check=True
        )
        plugins = [f"--plugin={plugin}" for plugin in Path(folder).iterdir()]
        messages = [f"--go_out={client}", f"--go_opt=module={MODULE}"]
        services = [f"--go-grpc_out={client}", f"--go-grpc_opt=module={MODULE}"]
        protoc(all_files(), *plugins, *messages, *services)
    write_beside(client / STUBS)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
