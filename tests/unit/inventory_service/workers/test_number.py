"""How many workers a server may have, by its setting and by its option."""

import pytest

from inventory_service.__main__ import main


@pytest.mark.parametrize("workers", ["0", "-1", "two", "1.5", "65", ""])
def test_a_number_of_workers_that_cannot_be_is_refused(
    workers: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 2 and a line that says what is wrong, whichever way it is given."""
    assert main(["serve", "--workers", workers]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("Error: Invalid value for '--workers': ")

    monkeypatch.setenv("HOLDFAST_WORKERS", workers)
    assert main(["serve"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("HOLDFAST_WORKERS: ")
