"""Generates the Go stubs from the protos, with what lies beside them, and compares the committed ones with fresh ones."""

import filecmp
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from protos.compile import PACKAGE, PROTOS, all_files, protoc

GO = Path(__file__).resolve().parent
ROOT = GO.parents[1]
STUBS = Path("inventory/v1")  # below the module's folder; with the module's name before it, what Go imports
MODULE = PACKAGE.removesuffix(f"/{STUBS}")
SERVICE_CONFIG = ROOT / "clients" / "service_config.json"
DIGESTS = "protos.sha256"
WRITTEN = ("*.pb.go", SERVICE_CONFIG.name, DIGESTS)
BUILD_S = 400.0
USAGE = "usage: generate_stubs.py stubs | check"


def main(arguments: list[str]) -> int:
    """Write the stubs or compare them; the exit code is 1 if they are stale or Go is missing, 2 for another argument."""
    if arguments not in (["stubs"], ["check"]):
        print(USAGE, file=sys.stderr)
        return 2
    if shutil.which("go") is None:
        print("Go is not installed, and the stubs of clients/go are generated with it.", file=sys.stderr)
        return 1
    if arguments == ["check"]:
        return report(stale_files())
    write_stubs(GO)
    return 0


def write_stubs(module: Path) -> None:
    """Write messages and services, the retries that a channel may be told of, and the digests of the protos."""
    with tempfile.TemporaryDirectory() as plugins:
        build_plugins(plugins)
        protoc(
            all_files(),
            *(f"--plugin={plugin}" for plugin in Path(plugins).iterdir()),
            *(f"--go_out={module}", f"--go_opt=module={MODULE}"),
            *(f"--go-grpc_out={module}", f"--go-grpc_opt=module={MODULE}"),
        )
    shutil.copyfile(SERVICE_CONFIG, module / STUBS / SERVICE_CONFIG.name)
    (module / STUBS / DIGESTS).write_text(digests())


def build_plugins(folder: str) -> None:
    """Build the plugins of protoc at the versions that go.mod pins."""
    environment = {**os.environ, "GOBIN": folder}
    subprocess.run(["go", "install", "tool"], cwd=GO, env=environment, timeout=BUILD_S, check=True)


def digests() -> str:
    """What `sha256sum --check` takes at the root, so that stale stubs are found where there is no Go."""
    files = [PROTOS / file for file in all_files()]
    lines = (f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(ROOT)}\n" for file in files)
    return "".join(lines)


def stale_files() -> list[str]:
    """Name the committed files that differ from what the protos yield, or that only one side has."""
    with tempfile.TemporaryDirectory() as folder:
        write_stubs(Path(folder))
        fresh, committed = written(Path(folder)), written(GO)
        _, differing, missing = filecmp.cmpfiles(folder, GO, fresh | committed, shallow=False)
    return sorted(differing + missing)


def written(module: Path) -> set[str]:
    """Name the generated files of a module, relative to it."""
    return {str(file.relative_to(module)) for kind in WRITTEN for file in (module / STUBS).glob(kind)}


def report(stale: list[str]) -> int:
    """Print which files are stale, and the command that writes them."""
    for file in stale:
        print(f"stale: clients/go/{file}", file=sys.stderr)
    if stale:
        print("Run `make go-stubs` and commit what it writes.", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
