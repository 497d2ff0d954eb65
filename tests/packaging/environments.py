"""Empty Python environments outside the checkout, with Holdfast in them as a user would install it: from the wheel."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
RUN_S = 300.0
QUIETLY = ("--quiet", "--disable-pip-version-check", "--no-input", "--no-compile", "--only-binary", ":all:")


class Environment(NamedTuple):
    """A virtual environment, and a working folder outside the checkout."""

    folder: Path
    elsewhere: Path

    def program(self, name: str) -> Path:
        """A program in it."""
        return self.folder / "bin" / name

    def run(self, program: str, *words: str | Path, **settings: str) -> "subprocess.CompletedProcess[str]":
        """Run a program of it to the end, outside the checkout and with these settings only."""
        return run(self.program(program), *words, cwd=self.elsewhere, **settings)

    def packages(self) -> dict[str, str]:
        """What is installed: normal name to version."""
        listing = "from importlib.metadata import distributions as all\nfor d in all(): print(d.name, d.version)"
        done = self.run("python", "-c", listing)
        return {normal(name): version for name, version in (line.split() for line in done.stdout.splitlines())}


def create(python: Path, folder: Path) -> Environment:
    """An empty environment with a pip of its own."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir(parents=True)
    succeed(run(python, "-m", "venv", folder / "venv"))
    return Environment(folder / "venv", elsewhere)


def create_beside(environment: Environment, name: str) -> Environment:
    """Another empty environment of the same Python; it has no pip, for `install` takes the first one's."""
    folder = environment.folder.parent / name
    succeed(environment.run("python", "-m", "venv", "--without-pip", folder))
    return Environment(folder, environment.elsewhere)


def install(environment: Environment, requirement: str, into: Environment | None = None) -> None:
    """Install by the environment's pip, with every version pinned."""
    there = (into or environment).program("python")
    pinned_install = ["install", *QUIETLY, "--constraint", str(CONSTRAINTS), requirement]
    succeed(environment.run("python", "-m", "pip", "--python", there, *pinned_install))


def build_wheel(folder: Path) -> Path:
    """The wheel, made from the source distribution, so that it contains only files of that."""
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    succeed(run(*build, "-t", "sdist", cwd=ROOT))
    [source] = folder.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    succeed(run(*build, "-t", "wheel", cwd=folder / source.name.removesuffix(".tar.gz")))
    [wheel] = folder.glob("*.whl")
    return wheel


def find_python(version: str) -> Path | None:
    """An interpreter of this version that works: the one that runs these tests, one on the PATH, or one of pyenv's."""
    name = f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    there = [Path(sys.base_prefix) / "bin" / name, Path(shutil.which(name) or "nowhere")]
    there += sorted(pyenv.glob(f"versions/{version}.*/bin/{name}"))
    return next((python for python in there if python.exists() and works(python, version)), None)


def works(python: Path, version: str) -> bool:
    """Whether it is one that can make virtual environments; a shim of pyenv's may lead nowhere."""
    asked = run(python, "-c", "import ensurepip, ssl, venv, sys; print('%d.%d' % sys.version_info[:2])")
    return asked.returncode == 0 and asked.stdout.strip() == version


def run(program: str | Path, *words: str | Path, cwd: Path | None = None, **settings: str) -> "Run":
    """Run a program to its end."""
    command = [program, *words]
    environment = {**bare_environment(), **settings}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=RUN_S, check=False)


def bare_environment() -> Mapping[str, str]:
    """This process's environment without what leads Python or Holdfast to the checkout or to other servers."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HOLDFAST_", "TOX_"))}


def succeed(done: "Run") -> None:
    """AssertionError with its output if it failed."""
    assert done.returncode == 0, f"{done.args}\n{done.stdout}\n{done.stderr}"


def pinned() -> dict[str, str]:
    """The versions that the constraints allow: normal name to version."""
    return dict(_pins(CONSTRAINTS.read_text()))


def normal(name: str) -> str:
    """The normalized name of a package."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _pins(text: str) -> Iterator[tuple[str, str]]:
    for name, version in re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE):
        yield normal(name), version


Run = subprocess.CompletedProcess[str]
