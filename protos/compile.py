"""Compiles the protos: into the committed Python stubs, or into an image for buf; and compares them with either."""

import filecmp
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
STUBS = PROTOS.parent / "clients" / "python"
PACKAGE = "holdfast/inventory/v1"
SCRIPTS = Path(sysconfig.get_path("scripts"))
PLUGIN = SCRIPTS / "protoc-gen-mypy_grpc"
RELEASED = PROTOS / "released.binpb"  # the image of the newest release, committed with it
USAGE = "usage: compile.py stubs | check | image FILE | breaking IMAGE"


def main(arguments: list[str]) -> int:
    """Do what the first argument names; the exit code is 1 if stubs are stale, 2 for an unknown argument, or buf's."""
    match arguments:
        case ["stubs"]:
            write_stubs(STUBS)
            return 0
        case ["check"]:
            return report(stale_stubs())
        case ["image", file]:
            protoc(all_files(), "--include_imports", "--include_source_info", f"--descriptor_set_out={file}")
            return 0
        case ["breaking", image]:
            return breaking_changes(image, RELEASED)
    print(USAGE, file=sys.stderr)
    return 2


def write_stubs(folder: Path) -> None:
    """Write messages with their types for every file, and gRPC classes for the files that hold a service."""
    protoc(all_files(), f"--python_out={folder}", f"--pyi_out={folder}")
    services = [file for file in all_files() if file.endswith("_service.proto")]
    typed = [f"--plugin=protoc-gen-mypy_grpc={PLUGIN}", f"--mypy_grpc_out=quiet:{folder}"]
    protoc(services, f"--grpc_python_out={folder}", *typed)


def stale_stubs() -> list[str]:
    """Name the committed stubs that differ from what the protos yield, or that only one side has."""
    with tempfile.TemporaryDirectory() as folder:
        write_stubs(Path(folder))
        fresh, committed = stubs_in(Path(folder)), stubs_in(STUBS)
        _, differing, missing = filecmp.cmpfiles(folder, STUBS, fresh | committed, shallow=False)
    return sorted(differing + missing)


def stubs_in(folder: Path) -> set[str]:
    """Name the generated files below a folder, relative to it."""
    return {str(file.relative_to(folder)) for file in (folder / PACKAGE).glob("*_pb2*.py*")}


def report(stale: list[str]) -> int:
    """Print which stubs are stale, and the command that writes them."""
    for file in stale:
        print(f"stale: clients/python/{file}", file=sys.stderr)
    if stale:
        print("Run `make protos` and commit what it writes.", file=sys.stderr)
    return 1 if stale else 0


def breaking_changes(image: str, released: Path) -> int:
    """Have buf compare an image with the released one, which clients in the field are built from: buf's exit code."""
    if not released.exists():
        print(f"Breaking changes: nothing to compare with, for {released.name} comes with the first release.")
        return 0
    command = [str(SCRIPTS / "buf"), "breaking", image, "--against", str(released), "--exclude-imports"]
    return subprocess.run(command, cwd=PROTOS.parent, check=False).returncode


def all_files() -> list[str]:
    """Name every proto, sorted, as an import would."""
    return sorted(str(file.relative_to(PROTOS)) for file in PROTOS.glob(f"{PACKAGE}/*.proto"))


def protoc(files: list[str], *options: str) -> None:
    """Run the protoc that the lock pins, with Google's common protos beside those of Holdfast."""
    common = sysconfig.get_path("purelib")
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", f"-I{common}", *options, *files]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
