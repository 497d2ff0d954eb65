"""Settings are read from the environment, or rejected in one line that names the variable."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence

import pytest

from holdfast_runtime import process
from holdfast_runtime.kafka import kafka_config
from holdfast_runtime.postgres import postgres_dependency
from holdfast_runtime.process import Command
from holdfast_runtime.settings import BadSettings, SharedSettings, list_settings, read_settings
from inventory_service.settings import Settings
from inventory_service.wiring import relay, serve
from inventory_service.wiring.servers import redis_dependency
from order_persister.__main__ import main as persister_main
from order_persister.wiring import persist

BAD_DSNS = [
    "postgresql://localhost:abc/x",
    "postgresql://localhost:99999/x",
    "postgresql://localhost:0/x",
    "postgresql://[::1/x",
    "postgresql://localhost/x?sslmode=bogus",
    "postgresql://localhost/x?sslmode=verify-full&sslrootcert=/nowhere/ca.pem",
    f"postgresql://localhost/x?sslmode=verify-full&sslrootcert={__file__}",
]


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the test run may have settings."""
    for setting in list_settings(Settings):
        monkeypatch.delenv(setting.variable, raising=False)


@pytest.fixture(autouse=True)
def no_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of this machine take a while to load, and nothing here connects."""
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *_: None)


def test_every_setting_has_a_default() -> None:
    """The defaults fit servers on this machine."""
    settings = read_settings(Settings)

    assert (settings.shards, settings.listen, settings.expiry) == (16, "127.0.0.1:50051", "on")


@pytest.mark.parametrize(("verifies", "code"), [(False, 1), (True, 3)])
def test_an_unexpected_error_of_a_verifying_command_is_exit_code_3(
    monkeypatch: pytest.MonkeyPatch, verifies: bool, code: int
) -> None:
    """Exit code 1 of an audit means a difference, and a bug must not look like one."""

    async def broken(_settings: SharedSettings) -> int:
        raise LookupError("a bug")

    monkeypatch.setattr(process, "configure_logging", lambda *_: None)

    assert process.run_command(Command("any", "break", (), (), broken, SharedSettings, verifies=verifies), {}) == code


@pytest.mark.parametrize(
    "url",
    [
        "redis://ann:12/s3cret@redis.example:6379/0",
        "redis://ann:12?s3cret@redis.example:6379/0",
        "redis://ann:12#s3cret@redis.example:6379/0",
        "redis://ann:12#s3cret",
        "redis+sentinel://ann:12/s3cret@one,two/main",
        "postgresql://ann:12/s3cret@postgres.example/holdfast",
        "postgresql://ann:12?s3cret@postgres.example/holdfast",
        "postgresql://ann:12#s3cret@postgres.example/holdfast",
    ],
)
def test_a_password_that_ends_the_address_of_a_url_is_rejected(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """`ann` would be a host and `12` its port, in every message; and what follows would be a database."""
    monkeypatch.setenv("HOLDFAST_REDIS_URL" if url.startswith("redis") else "HOLDFAST_POSTGRES_DSN", url)

    with pytest.raises(BadSettings, match=r"as %2F %3F %23 and %40") as rejected:
        read_settings(Settings)

    assert "s3cret" not in str(rejected.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://ann:s3%2Fcret@redis.example:6379/0?ssl_ca_certs=/a@b.pem",
        "redis://redis.example?password=s3c@ret",
        "unix://ann:s3cret@/run/redis@1.sock",
        "redis+sentinel://ann:s3cret@one,two/main?sentinel_password=s3cret",
        "postgresql://ann:s3cret@one,two/holdfast@1",
        "postgresql:///holdfast?host=one&user=ann@example.com&password=s3cret",
    ],
)
def test_a_password_is_no_part_of_the_settings_text(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """An @ may stand where it cannot end a user's name; and the text of the settings may get into a log."""
    monkeypatch.setenv("HOLDFAST_POSTGRES_DSN" if url.startswith("postgres") else "HOLDFAST_REDIS_URL", url)
    monkeypatch.setenv("HOLDFAST_KAFKA_SECURITY", "SASL_SSL")
    monkeypatch.setenv("HOLDFAST_KAFKA_USERNAME", "ann")
    monkeypatch.setenv("HOLDFAST_KAFKA_PASSWORD", "s3cret")

    settings = read_settings(Settings)

    assert url in (settings.redis_url, settings.postgres_dsn)
    for text in (repr(settings), str(settings), repr(kafka_config(settings))):
        assert "s3" not in text


def test_settings_are_frozen() -> None:
    """A process never changes its settings."""
    with pytest.raises(Exception, match="frozen"):
        read_settings(Settings).shards = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HOLDFAST_SHARDS", "0"),
        ("HOLDFAST_SHARDS", "many"),
        ("HOLDFAST_LISTEN", "50051"),
        ("HOLDFAST_LISTEN", "127.0.0.1:70000"),
        ("HOLDFAST_METRICS_LISTEN", "here"),
        ("HOLDFAST_REDIS_URL", "127.0.0.1:6379"),
        ("HOLDFAST_REDIS_URL", "redis://localhost:abc/0"),
        ("HOLDFAST_REDIS_URL", "redis://localhost:99999/0"),
        ("HOLDFAST_REDIS_URL", "redis://localhost:0/0"),
        ("HOLDFAST_REDIS_URL", "redis://[::1/0"),
        ("HOLDFAST_REDIS_URL", "redis://localhost:6379/abc"),
        ("HOLDFAST_REDIS_URL", "redis://localhost:6379/0?foo=1"),
        ("HOLDFAST_REDIS_URL", "redis://localhost:6379/?db=abc"),
        ("HOLDFAST_REDIS_URL", "redis://localhost:6379/0?protocol=3"),
        ("HOLDFAST_REDIS_URL", "rediss://localhost/0?ssl_ca_certs=/nowhere/ca.pem"),
        ("HOLDFAST_REDIS_URL", f"rediss://localhost/0?ssl_ca_certs={__file__}"),
        ("HOLDFAST_REDIS_URL", "rediss://localhost/0?ssl_cert_reqs=maybe"),
        ("HOLDFAST_REDIS_URL", "unix://"),
        ("HOLDFAST_REDIS_URL", "redis+sentinel:///main"),
        ("HOLDFAST_REDIS_URL", "redis+sentinel://one,,two/main"),
        ("HOLDFAST_REDIS_URL", "redis+sentinel://one:0/main"),
        ("HOLDFAST_REDIS_URL", "redis+sentinel://one"),
        ("HOLDFAST_REDIS_URL", "redis+sentinel://one/main/0"),
        ("HOLDFAST_REDIS_URL", "redis+sentinel://one/main?foo=1"),
        ("HOLDFAST_REDIS_URL", "redis+sentinel://one/main?sentinel_foo=1"),
        ("HOLDFAST_REDIS_URL", "redis+sentinel://one/main?sentinel_user=ann"),
        ("HOLDFAST_REDIS_URL", "sentinel://one/main"),
        ("HOLDFAST_POSTGRES_DSN", "host=here"),
        *(("HOLDFAST_POSTGRES_DSN", dsn) for dsn in BAD_DSNS),
        ("HOLDFAST_KAFKA_BROKERS", "a:1,,b:2"),
        ("HOLDFAST_KAFKA_PREFIX", "staging/"),
        ("HOLDFAST_KAFKA_PREFIX", "x" * 101),
        ("HOLDFAST_EXPIRY", "maybe"),
        ("HOLDFAST_LOG_LEVEL", "loud"),
        ("HOLDFAST_DRAIN_S", "-1"),
        ("HOLDFAST_RELAY_WINDOW_BYTES", "1"),
    ],
)
def test_a_bad_setting_ends_the_process_with_one_line(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line has the variable and the reason, without a traceback."""
    monkeypatch.setenv(variable, value)

    code = process.run_command(serve.COMMAND, {})

    stderr = capsys.readouterr().err
    assert code == 2
    assert stderr.startswith(f"{variable}: ")
    assert stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("expected", "environment"),
    [
        ("PASSWORD: is required", {"SECURITY": "SASL_SSL", "USERNAME": "ann"}),
        ("USERNAME: is required", {"SECURITY": "SASL_PLAINTEXT", "PASSWORD": "secret"}),
        ("USERNAME: has no use", {"USERNAME": "ann"}),
        ("PASSWORD: has no use", {"SECURITY": "SSL", "PASSWORD": "secret"}),
        ("SASL_MECHANISM: has no use", {"SECURITY": "SSL", "SASL_MECHANISM": "PLAIN"}),
        ("CA_FILE: has no use", {"CA_FILE": __file__}),
        ("CA_FILE: must be the path", {"SECURITY": "SSL", "CA_FILE": "/nowhere/ca.pem"}),
        ("CA_FILE: holds no certificate", {"SECURITY": "SSL", "CA_FILE": __file__}),
        ("CERT_FILE: cannot be used", {"SECURITY": "SSL", "CERT_FILE": __file__}),
        ("KEY_FILE: has no use", {"SECURITY": "SSL", "KEY_FILE": __file__}),
        ("SECURITY: ", {"SECURITY": "TLS"}),
        ("PREFIX: must be", {"PREFIX": "a b"}),
    ],
)
@pytest.mark.parametrize("service", ["inventory", "persister"])
def test_kafka_settings_that_contradict_each_other_end_a_process(
    service: str,
    expected: str,
    environment: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A password that is never sent, or a certificate that is never checked, is a mistake that no error would show."""
    for name, value in environment.items():
        monkeypatch.setenv(f"HOLDFAST_KAFKA_{name}", value)
    code = process.run_command(relay.COMMAND if service == "inventory" else persist.COMMAND, {})

    line = capsys.readouterr().err
    assert (code, line.count("\n")) == (2, 1)
    assert line.startswith(f"HOLDFAST_KAFKA_{expected}")
    assert "secret" not in line


@pytest.mark.parametrize(
    ("expected", "names"),
    [
        ("TLS_CERT_FILE: has no use without HOLDFAST_TLS_KEY_FILE", ["CERT"]),
        ("TLS_KEY_FILE: has no use without HOLDFAST_TLS_CERT_FILE", ["KEY"]),
        ("TLS_CLIENT_CA_FILE: has no use without HOLDFAST_TLS_CERT_FILE", ["CLIENT_CA", "IDENTITIES"]),
        (
            "TLS_CLIENT_CA_FILE: lets in no caller without HOLDFAST_TLS_IDENTITIES_FILE or token keys",
            ["CERT", "KEY", "CLIENT_CA"],
        ),
        ("TLS_IDENTITIES_FILE: has no use without HOLDFAST_TLS_CLIENT_CA_FILE", ["CERT", "KEY", "IDENTITIES"]),
        ("TLS_CERT_FILE: /nowhere holds no certificate in PEM", ["CERT", "KEY"]),
    ],
)
def test_files_of_tls_that_need_others_end_a_server(
    expected: str, names: Sequence[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that asks for no certificate, where its operator has set the authorities, would let everyone in."""
    for name in names:
        monkeypatch.setenv(f"HOLDFAST_TLS_{name}_FILE", __file__)
    monkeypatch.setattr(process, "wait_for_all", lambda *_: asyncio.sleep(0))

    code = process.run_command(serve.COMMAND, {})

    line = capsys.readouterr().err.splitlines()[-1]
    assert code == 2
    assert line == f"HOLDFAST_{expected}".replace("/nowhere", __file__)


def test_no_password_is_shown_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings may be logged."""
    monkeypatch.setenv("HOLDFAST_KAFKA_SECURITY", "SASL_SSL")
    monkeypatch.setenv("HOLDFAST_KAFKA_USERNAME", "ann")
    monkeypatch.setenv("HOLDFAST_KAFKA_PASSWORD", "hush-hush")

    settings = read_settings(Settings)

    assert kafka_config(settings).options()["sasl_plain_password"] == "hush-hush"
    assert "hush-hush" not in repr(settings) + repr(kafka_config(settings))


@pytest.mark.parametrize("dsn", BAD_DSNS)
def test_a_persister_with_a_bad_dsn_ends_with_one_line(
    dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise it would retry such an address for ever."""
    monkeypatch.setenv("HOLDFAST_POSTGRES_DSN", dsn)

    code = persister_main(["persist"])

    stderr = capsys.readouterr().err
    assert (code, stderr.count("\n")) == (2, 1)
    assert stderr.startswith("HOLDFAST_POSTGRES_DSN: ")


@pytest.mark.parametrize(
    ("redis_url", "dsn"),
    [
        ("redis://localhost", "postgresql:///holdfast"),
        ("redis://:secret@[::1]:6379/3", "postgresql://ann:secret@one:5432,two:5433/holdfast?sslmode=prefer"),
        ("rediss://localhost:6379/0?ssl_check_hostname=true", "postgres://[::1]/holdfast?application_name=us"),
        ("redis+sentinel://ann:secret@one,two:26380/main?db=1", "postgresql://[::1]/holdfast"),
        ("unix:///run/redis.sock?db=1", "postgresql://ann@/holdfast?host=/run/postgresql&port=5433"),
    ],
)
def test_every_form_that_the_client_libraries_accept_is_valid(redis_url: str, dsn: str) -> None:
    """Sockets, passwords and options among them."""
    settings = Settings(redis_url=redis_url, postgres_dsn=dsn)

    assert redis_dependency(settings).name == "Redis"
    assert postgres_dependency(settings).name == "Postgres"


def test_all_bad_settings_are_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the second would be found only at the next start."""
    monkeypatch.setenv("HOLDFAST_SHARDS", "0")
    monkeypatch.setenv("HOLDFAST_EXPIRY", "maybe")

    with pytest.raises(BadSettings, match=r"HOLDFAST_SHARDS: .*; HOLDFAST_EXPIRY: "):
        read_settings(Settings)


def test_the_metrics_page_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty address is a choice, not a mistake."""
    monkeypatch.setenv("HOLDFAST_METRICS_LISTEN", "")

    assert read_settings(Settings).metrics_listen == ""


def test_every_setting_has_a_description() -> None:
    """`--help` lists them all."""
    listed = list(list_settings(Settings))

    assert len(listed) == len(Settings.model_fields)
    assert all(setting.meaning for setting in listed)
