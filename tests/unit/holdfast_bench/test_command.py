"""`holdfast bench` before any load: what it lists, what it refuses, and in which words."""

import json
from pathlib import Path

import pytest
from holdfast_bench.__main__ import app
from holdfast_bench.command import is_loopback


def run(*words: str) -> int:
    """Run the command in this process; its exit code."""
    with pytest.raises(SystemExit) as ended:
        app(["bench", *words], prog_name="holdfast")
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def ghz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ghz that is there and is never run."""
    (tmp_path / "ghz").touch()
    monkeypatch.setenv("HOLDFAST_GHZ", str(tmp_path / "ghz"))


def test_shapes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """For people, and for scripts."""
    assert run("--list") == 0
    text = capsys.readouterr().out
    assert run("--list", "--json") == 0
    shapes = json.loads(capsys.readouterr().out)["shapes"]

    assert len(shapes) == len(text.splitlines()) == 7
    assert all(shape["name"] in text for shape in shapes)


@pytest.mark.usefixtures("ghz")
def test_another_machine_is_asked_about_first(capsys: pytest.CaptureFixture[str]) -> None:
    """A load is no harmless call; without a terminal to ask, it needs --yes."""
    assert run("--address", "192.0.2.1:50051") == 2
    assert "load on 192.0.2.1:50051, which is not this machine? If so, add --yes" in capsys.readouterr().err


@pytest.mark.usefixtures("ghz")
@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["slope"], "neither a file nor a shape"),
        (["--address", "127.0.0.1:1,127.0.0.1:2"], "one server"),
        (["--address", "127.0.0.1:1", "--timeout", "0.1"], "no server answers"),
    ],
)
def test_what_cannot_be_run_is_named(words: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, with the exit code of what was not done."""
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert (why in error, error.count("\n")) == (True, 1)


def test_a_missing_ghz_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the line that installs it."""
    monkeypatch.setenv("HOLDFAST_GHZ", "/nowhere")

    assert run("--json") == 2
    assert "go install github.com" in json.loads(capsys.readouterr().out)["error"]["message"]


@pytest.mark.parametrize(
    ("address", "is_here"),
    [
        ("127.0.0.1:50051", True),
        ("127.8.8.8:1", True),
        ("[::1]:50051", True),
        ("localhost:1", True),
        ("10.0.0.1:1", False),
        ("localhost.example.com:1", False),
        ("holdfast:1", False),
        ("127.0.0.1", False),
    ],
)
def test_only_loopback_is_this_machine(address: str, is_here: bool) -> None:
    """By the form of the address: what a name leads to may change."""
    assert is_loopback(address) is is_here
