"""No secret is shown by a process whose servers are away, or whose settings are wrong: not even the wrong one."""

import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from holdfast.cli.__main__ import app
from holdfast.inventory.v1.inventory_service_pb2 import GetSaleRequest
from holdfast.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from holdfast_embedded.ports import free_port
from holdfast_embedded.process import spawn, terminate
from typer.testing import CliRunner

from tests.secret_leaks import TALKATIVE, Case, Secrets, Shown, command_lines, run_cases
from tests.stacks import ENVIRONMENT
from tests.waiting import LONG_S, eventually

MARK = "m4rk-of-a-s3cret"
NOWHERE = "127.0.0.1:1"  # nothing listens there
REDIS, POSTGRES, KAFKA = "HOLDFAST_REDIS_URL", "HOLDFAST_POSTGRES_DSN", "HOLDFAST_KAFKA_"
AWAY = {
    REDIS: f"redis://ann:{MARK}@{NOWHERE}/0",
    POSTGRES: f"postgresql://ann:{MARK}@{NOWHERE}/holdfast",
    f"{KAFKA}BROKERS": NOWHERE,
    f"{KAFKA}SECURITY": "SASL_PLAINTEXT",
    f"{KAFKA}USERNAME": "ann",
    f"{KAFKA}PASSWORD": MARK,
    "HOLDFAST_METRICS_LISTEN": "",
}
BAD_SETTINGS, NOT_DONE = 2, 2
DETAILS = "grpc-status-details-bin"
WRONG_REDIS = [
    MARK,
    f"http://ann:{MARK}@{NOWHERE}",
    f"redis://ann:{MARK}@{NOWHERE}/zero",
    f"redis://ann:{MARK}@127.0.0.1:port",
    f"redis://ann:{MARK}@[::1",
    f"redis://ann:{MARK}\u2100@{NOWHERE}",  # Python's own error shows user and password
    f"redis://ann:12/{MARK}@{NOWHERE}/0",
    f"redis://ann:12#{MARK}@{NOWHERE}/0",
    f"redis://{NOWHERE}/0?password={MARK}&none=1",
    f"redis://{NOWHERE}/0?password={MARK}",
    f"rediss://ann:{MARK}@{NOWHERE}?ssl_ca_certs=/nowhere",
    f"unix://ann:{MARK}@/nowhere/redis.sock",
]
WRONG_POSTGRES = [
    MARK,
    f"mysql://ann:{MARK}@{NOWHERE}",
    f"postgresql://ann:{MARK}@127.0.0.1:port/holdfast",
    f"postgresql://ann:{MARK}@127.0.0.1:99999/holdfast",
    f"postgresql://ann:{MARK}@[::1/holdfast",
    f"postgresql://ann:{MARK}\u2100@{NOWHERE}/holdfast",
    f"postgresql://ann:12/{MARK}@{NOWHERE}/holdfast",
    f"postgresql://ann:12#{MARK}@{NOWHERE}/holdfast",
    f"postgresql://{NOWHERE}/holdfast?password={MARK}&sslmode=none",
    f"postgresql://{NOWHERE}/holdfast?password={MARK}",
    f"postgresql://ann:{MARK}@127.0.0.1:1,127.0.0.1:2/holdfast",
]
ENCRYPTED = f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{MARK}\n-----END ENCRYPTED PRIVATE KEY-----\n"
WRONG_FILES = {
    "HOLDFAST_AUTH_SECRET_FILE": [MARK, f'{{"keys": "{MARK * 3}"}}', ENCRYPTED],
    "HOLDFAST_AUTH_JWKS_FILE": [
        MARK,
        f'{{"keys": [{{"kty": "oct", "k": "{MARK}"}}]}}',
        f'{{"keys": [{{"kty": "RSA", "n": "AQAB", "e": "AQAB", "d": "{MARK}"}}]}}',
        f'{{"keys": [{{"kty": "EC", "crv": "P-256", "x": "{MARK}", "y": "{MARK}"}}]}}',
    ],
    "HOLDFAST_TLS_KEY_FILE": [MARK, ENCRYPTED],
}


def wrong_cases(folder: Path) -> Iterator[Case]:
    """Settings with which no process can work, each in one that reads it; and servers that are away in each process."""
    yield from (Case(["serve"], {REDIS: url}) for url in WRONG_REDIS)
    yield from (Case(["migrate"], {POSTGRES: dsn}) for dsn in WRONG_POSTGRES)
    yield from (Case(["doctor"], {POSTGRES: dsn}) for dsn in WRONG_POSTGRES[-2:])
    for process in ("relay", "compensate", "init", "topics", "audit", "restore", "orphans", "persist"):
        yield Case([process], {})
        yield Case([process, "--help"], {})
    certificate = folder / "certificate.pem"
    certificate.write_text(MARK)
    kafka = {
        f"{KAFKA}SECURITY": "SSL",
        f"{KAFKA}USERNAME": "",
        f"{KAFKA}PASSWORD": "",
        f"{KAFKA}CERT_FILE": str(certificate),
    }
    yield Case(["topics"], kafka)
    yield Case(["topics"], {f"{KAFKA}SECURITY": "PLAINTEXT"})
    yield Case(["topics"], {f"{KAFKA}BROKERS": f"ann:{MARK}@{NOWHERE}"})
    for variable, contents in WRONG_FILES.items():
        for number, content in enumerate(contents):
            file = folder / f"{variable}-{number}"
            file.write_text(content)
            needed = {"HOLDFAST_TLS_CERT_FILE": str(certificate)} if "TLS" in variable else {}
            yield Case(["serve"], {variable: str(file), **needed, "HOLDFAST_START_WAIT_S": "0"})


def test_settings_that_are_wrong_show_no_secret(tmp_path: Path) -> None:
    """At the level debug too. Each process ends at once, or its `--help` does, which shows defaults."""
    secrets = Secrets()
    secrets.add("a secret of the settings", MARK)

    ended = run_cases(list(wrong_cases(tmp_path)), {**AWAY, "HOLDFAST_START_WAIT_S": "0.05"})

    assert secrets.found_in(one.shown for one in ended) == []
    for one in ended:
        tells_all = "--help" in one.case.words or "doctor" in one.case.words
        assert one.code == (0 if tells_all else BAD_SETTINGS), one


@contextmanager
def serving(log: Path) -> Iterator[tuple[str, str]]:
    """A server whose servers are away: its address, and that of its metrics."""
    address, metrics = (f"127.0.0.1:{free_port()}" for _ in range(2))
    settings = {"HOLDFAST_LISTEN": address, "HOLDFAST_METRICS_LISTEN": metrics, "HOLDFAST_START_WAIT_S": "0"}
    with log.open("wb") as output:
        process = spawn(
            [sys.executable, "-m", "inventory_service", "serve"],
            env={**ENVIRONMENT, **AWAY, **TALKATIVE, **settings},
            stdout=output,
            stderr=output,
        )
        try:
            yield address, f"http://{metrics}"
        finally:
            terminate(process, [], LONG_S)


async def test_a_server_whose_servers_are_away_shows_no_password(tmp_path: Path) -> None:
    """Neither to callers, in a status and its details, nor on the pages of its metrics and its health, nor to `ps`."""
    secrets, log = Secrets(), tmp_path / "serve.log"
    secrets.add("a password of a server", MARK)

    with serving(log) as (address, pages):
        async with grpc.aio.insecure_channel(address) as channel:

            async def status() -> Shown:
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await InventoryServiceStub(channel).GetSale(GetSaleRequest(sale_id="lamps"), timeout=LONG_S)
                details = dict(raised.value.trailing_metadata() or ()).get(DETAILS, b"")
                assert b"SHARD_NOT_SERVING" in details  # else it does not listen yet
                return Shown("the status of a call", f"{raised.value!r} {details!r}")

            answer = await eventually(status, LONG_S)
        health = await eventually(lambda: waits_for_redis(f"{pages}/healthz"), LONG_S)
        shown = [answer, page(f"{pages}/metrics"), health, *command_lines()]

    shown.append(Shown("the log", log.read_text()))
    assert len(shown) > 4
    assert secrets.found_in(shown) == []


def waits_for_redis(url: str) -> Shown | None:
    """The page of its health, once it tells so."""
    health = page(url)
    return health if "waits for Redis" in health.text else None


def page(url: str) -> Shown:
    """A page, whatever its status."""
    try:
        with urllib.request.urlopen(url, timeout=LONG_S) as response:
            return Shown(url, response.read().decode())
    except urllib.error.HTTPError as error:
        return Shown(url, error.read().decode())


@pytest.mark.parametrize(
    "variable", ["HOLDFAST_TOKEN", "HOLDFAST_TOKEN_FILE", "HOLDFAST_CLIENT_KEY_FILE", "HOLDFAST_CA_FILE"]
)
@pytest.mark.parametrize("content", [MARK, f"{MARK}\n{MARK}", f"{MARK}\u00e9", ENCRYPTED])
def test_a_token_or_a_key_that_cannot_be_used_is_not_shown(tmp_path: Path, variable: str, content: str) -> None:
    """Nor by the help, which names the variables."""
    secrets, file = Secrets(), tmp_path / "file"
    secrets.add("a token or a key", MARK)
    file.write_text(content)
    environment = {variable: str(file) if variable.endswith("FILE") else content}
    if "KEY" in variable:
        environment["HOLDFAST_CLIENT_CERT_FILE"] = str(file)

    done = CliRunner().invoke(app, ["sale", "show", "lamps", "--address", NOWHERE, "--timeout", "0.2"], env=environment)
    told = CliRunner().invoke(app, ["sale", "show", "--help"], env=environment)

    assert done.exit_code == NOT_DONE
    assert secrets.found_in([Shown("the failure", done.output), Shown("the help", told.output)]) == []
