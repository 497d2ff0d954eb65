"""Settings: the environment once, or one line that says which variable makes no sense."""

import pytest

from inventory_service.__main__ import PROCESSES, main
from inventory_service.settings import BadSettings, Settings, list_settings, read_settings


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have settings of their own."""
    for setting in list_settings():
        monkeypatch.delenv(setting.variable, raising=False)


def test_an_empty_environment_makes_sense() -> None:
    """Everything has a default, on this machine alone."""
    settings = read_settings()

    assert (settings.shards, settings.listen, settings.expiry) == (16, "127.0.0.1:50051", "on")


@pytest.mark.parametrize(("process", "code"), [("serve", 1), ("audit", 3), ("init", 3), ("topics", 3)])
def test_a_surprise_is_no_verdict(monkeypatch: pytest.MonkeyPatch, process: str, code: int) -> None:
    """Exit code 1 of an audit says that the books differ, which a bug of ours must not."""

    async def broken(_settings: object, _said: object) -> int:
        raise LookupError("a bug")

    monkeypatch.setitem(PROCESSES, process, ("break", broken))
    monkeypatch.setattr("inventory_service.__main__.configure_logging", lambda *_: None)

    assert main([process]) == code


def test_settings_are_frozen() -> None:
    """What a process was built with stays."""
    with pytest.raises(Exception, match="frozen"):
        read_settings().shards = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HOLDFAST_SHARDS", "0"),
        ("HOLDFAST_SHARDS", "many"),
        ("HOLDFAST_LISTEN", "50051"),
        ("HOLDFAST_LISTEN", "127.0.0.1:70000"),
        ("HOLDFAST_METRICS_LISTEN", "here"),
        ("HOLDFAST_REDIS_URL", "127.0.0.1:6379"),
        ("HOLDFAST_POSTGRES_DSN", "host=here"),
        ("HOLDFAST_KAFKA_BROKERS", "a:1,,b:2"),
        ("HOLDFAST_EXPIRY", "maybe"),
        ("HOLDFAST_LOG_LEVEL", "loud"),
        ("HOLDFAST_DRAIN_S", "-1"),
        ("HOLDFAST_RELAY_WINDOW_BYTES", "1"),
    ],
)
def test_a_bad_setting_ends_the_process_with_one_line(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator reads which and why, and nothing else."""
    monkeypatch.setenv(variable, value)

    code = main(["serve"])

    told = capsys.readouterr().err
    assert code == 2
    assert told.startswith(f"{variable}: ")
    assert told.count("\n") == 1


def test_two_bad_settings_share_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the second is not found at the second start."""
    monkeypatch.setenv("HOLDFAST_SHARDS", "0")
    monkeypatch.setenv("HOLDFAST_EXPIRY", "maybe")

    with pytest.raises(BadSettings, match=r"HOLDFAST_SHARDS: .*; HOLDFAST_EXPIRY: "):
        read_settings()


def test_the_metrics_page_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty address is a choice, not a mistake."""
    monkeypatch.setenv("HOLDFAST_METRICS_LISTEN", "")

    assert read_settings().metrics_listen == ""


def test_every_setting_explains_itself() -> None:
    """`--help` lists them all."""
    listed = list(list_settings())

    assert len(listed) == len(Settings.model_fields)
    assert all(setting.meaning for setting in listed)
