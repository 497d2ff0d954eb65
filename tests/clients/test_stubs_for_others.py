"""The commands by which clients/README.md makes stubs for other languages do that, and Java takes what they make."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "clients" / "README.md"
POM = Path(__file__).with_name("java") / "pom.xml"
PROTOC = "com.google.protobuf:protoc:4.35.1:exe:linux-x86_64"  # the version of protobuf-java in the POM
RUN_S = 240.0
# A message and, where there is a plugin for it, the service of each language.
WRITTEN = {
    "cpp": ["holdfast/inventory/v1/reservation.pb.h"],
    "csharp": ["Reservation.cs"],
    "java": ["holdfast/inventory/v1/Reservation.java", "holdfast/inventory/v1/InventoryServiceGrpc.java"],
    "kotlin": ["holdfast/inventory/v1/ReservationKt.kt"],
    "objc": ["holdfast/inventory/v1/Reservation.pbobjc.h"],
    "php": ["Holdfast/Inventory/V1/Reservation.php"],
    "ruby": ["holdfast/inventory/v1/reservation_pb.rb"],
    "buf": ["holdfast/inventory/v1/InventoryServiceGrpc.java"],
}

pytestmark = [
    pytest.mark.timeout(600),  # Maven downloads protoc and the libraries of Java
    pytest.mark.skipif(shutil.which("mvn") is None, reason="Maven, which fetches protoc, is not installed"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the commands of the page have written to."""
    folder = tmp_path_factory.mktemp("stubs")
    programs = os.pathsep.join([str(protoc_in(folder / "bin")), os.environ["PATH"]])
    commands = "\n".join(re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL))
    here = commands.replace(".venv/bin/", f"{Path(sys.executable).parent}/")

    run("bash", "-c", f"set -euo pipefail\n{here}", PATH=programs, TMPDIR=str(folder))

    [out] = folder.glob("tmp.*")  # by mktemp
    return out


def protoc_in(folder: Path) -> Path:
    """Put protoc into a folder."""
    run("mvn", "--quiet", "--batch-mode", "dependency:copy", f"-Dartifact={PROTOC}", f"-DoutputDirectory={folder}")
    [program] = folder.iterdir()
    program.chmod(0o755)
    program.rename(folder / "protoc")
    return folder


def run(*command: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run a command at the root of the checkout, and fail with what it says if it fails."""
    # Java reads the home folder from the user database, where some users have none, and not from HOME.
    maven = f"{os.environ.get('MAVEN_OPTS', '')} -Duser.home={Path.home()}".strip()
    environment = {**os.environ, "MAVEN_OPTS": maven, **settings}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=RUN_S, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


@pytest.mark.parametrize("language", WRITTEN)
def test_the_commands_of_the_page_write_stubs(language: str, made: Path) -> None:
    """A reader can take them as they are."""
    assert [name for name in WRITTEN[language] if not (made / language / name).exists()] == []


@pytest.mark.skipif(shutil.which("javac") is None, reason="the compiler of Java is not installed")
def test_java_compiles_its_stubs(made: Path, tmp_path: Path) -> None:
    """Names that are no trouble in the protos may be the same class, or a keyword, in a language."""
    run(
        "mvn", "--quiet", "--batch-mode", "--file", str(POM), f"-Dstubs={made}/java", f"-Dclasses={tmp_path}", "compile"
    )

    assert list(tmp_path.glob("**/InventoryServiceGrpc*BlockingStub.class"))
