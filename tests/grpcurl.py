"""Finds grpcurl, and builds it once where Go is installed and grpcurl is not."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

VERSION = "v1.9.3"
PACKAGE = f"github.com/fullstorydev/grpcurl/cmd/grpcurl@{VERSION}"
BUILD_S = 400.0  # one minute on two cores that do nothing else, and the downloads


class NoGrpcurl(Exception):
    """There is none, and none can be built; the message says why."""


def find_grpcurl() -> Path:
    """The one on the PATH, or the one that was built before, or a new one; raises NoGrpcurl."""
    found = shutil.which("grpcurl")
    if found:
        return Path(found)
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = caches / "holdfast" / f"grpcurl-{VERSION}" / "grpcurl"
    if not built.exists():
        _build(built)
    return built


def _build(target: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise NoGrpcurl("neither grpcurl nor Go is installed")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:  # other workers may build it at the same time
        environment = {**os.environ, "GOBIN": folder}
        command = ["nice", go, "install", PACKAGE]
        try:
            subprocess.run(command, env=environment, capture_output=True, text=True, timeout=BUILD_S, check=True)
        except subprocess.CalledProcessError as error:
            raise NoGrpcurl(f"grpcurl cannot be built: {error.stderr.strip()}") from None
        except subprocess.TimeoutExpired:
            raise NoGrpcurl(f"grpcurl was not built within {BUILD_S:g} s") from None
        (Path(folder) / "grpcurl").replace(target)
