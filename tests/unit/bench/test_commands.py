"""Every benchmark explains itself, and starts nothing when it is only asked to."""

import importlib
from pathlib import Path

import pytest

import bench.machine

FOLDER = Path(bench.machine.__file__).parent
COMMANDS = sorted(file.stem for file in FOLDER.glob("*.py") if '\nif __name__ == "__main__":\n' in file.read_text())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_benchmark_prints_its_help(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its docstring, and each option."""
    module = importlib.import_module(f"bench.{name}")
    monkeypatch.setattr("sys.argv", [name, "--help"])

    with pytest.raises(SystemExit) as ended:
        module.main()

    assert ended.value.code == 0
    assert str(module.__doc__).splitlines()[0] in capsys.readouterr().out
