"""What the committed stubs of a client in another language need: what lies beside them, and whether they are stale."""

import filecmp
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from protos.compile import PROTOS, all_files

ROOT = PROTOS.parent
CLIENTS = ROOT / "clients"
SERVICE_CONFIG = CLIENTS / "service_config.json"
DIGESTS = "protos.sha256"


def write_beside(stubs: Path) -> None:
    """Write which protos the stubs are of, and the repeats that a channel may be told of."""
    (stubs / DIGESTS).write_text(digests())
    shutil.copyfile(SERVICE_CONFIG, stubs / SERVICE_CONFIG.name)


def digests() -> str:
    """What `sha256sum --check` takes at the root, so that stale stubs are found without the language's tools."""
    files = [PROTOS / file for file in all_files()]
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(ROOT)}\n" for file in files)


def stale_files(client: Path, write: Callable[[Path], None], kinds: Sequence[str]) -> list[str]:
    """Name the files of these kinds, relative to the client, that `write` writes otherwise, or that one side lacks."""
    with tempfile.TemporaryDirectory() as fresh:
        write(Path(fresh))
        names = files_of(Path(fresh), kinds) | files_of(client, kinds)
        _, differing, missing = filecmp.cmpfiles(fresh, client, names, shallow=False)
    return sorted(differing + missing)


def files_of(client: Path, kinds: Sequence[str]) -> set[str]:
    """Name the files of these kinds, relative to the client."""
    return {str(file.relative_to(client)) for kind in kinds for file in client.glob(kind)}


def report(client: Path, stale: Sequence[str], command: str) -> int:
    """Print which files are stale and the command that writes them; the exit code is 1 if there are any."""
    for file in stale:
        print(f"stale: {client.relative_to(ROOT)}/{file}", file=sys.stderr)
    if stale:
        print(f"Run `{command}` and commit what it writes.", file=sys.stderr)
    return 1 if stale else 0
