"""Generates the TypeScript stubs from the protos, with what lies beside them, or finds committed ones that are stale.

protoc finds its plugin, ts-proto, on the PATH, where `npm run stubs` puts it.
"""

import shutil
import sys
from pathlib import Path

from protos.client_stubs import DIGESTS, SERVICE_CONFIG, report, stale_files, write_beside
from protos.compile import all_files, protoc

TYPESCRIPT = Path(__file__).resolve().parent
STUBS = "stubs"
WRITTEN = [f"{STUBS}/**/*.ts", f"{STUBS}/{SERVICE_CONFIG.name}", f"{STUBS}/{DIGESTS}"]
PLUGIN = "protoc-gen-ts_proto"
OPTIONS = (
    *("outputServices=grpc-js", "forceLong=bigint", "oneof=unions-value", "outputJsonMethods=to-only"),
    *("esModuleInterop=true", "importSuffix=.js", "useExactTypes=false"),
)
DETAILS = ["google/rpc/error_details.proto"]  # of statuses: no package has them as ts-proto writes them
USAGE = "usage: generate_stubs.py stubs | check"


def main(arguments: list[str]) -> int:
    """Write or compare the stubs; the exit code is 1 if they are stale or ts-proto is missing, 2 for bad arguments."""
    if arguments not in (["stubs"], ["check"]):
        print(USAGE, file=sys.stderr)
        return 2
    if shutil.which(PLUGIN) is None:
        print(f"{PLUGIN} is not on the PATH: run `make typescript-stubs`.", file=sys.stderr)
        return 1
    if arguments == ["check"]:
        stale = stale_files(TYPESCRIPT, write_stubs, WRITTEN)
        return report(TYPESCRIPT, stale, "make typescript-stubs")
    shutil.rmtree(TYPESCRIPT / STUBS, ignore_errors=True)
    write_stubs(TYPESCRIPT)
    return 0


def write_stubs(client: Path) -> None:
    """Write the stubs of a client, and what lies beside them."""
    stubs = client / STUBS
    stubs.mkdir(parents=True)
    protoc([*all_files(), *DETAILS], f"--ts_proto_out={stubs}", f"--ts_proto_opt={','.join(OPTIONS)}")
    write_beside(stubs)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
