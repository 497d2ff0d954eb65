"""No secret is shown by a whole run on servers with TLS and passwords, in which every secret can be recognised."""

import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest
from holdfast_embedded.stack import Stack

from tests.secret_leaks import TALKATIVE, Case, Secrets, Shown, command_lines, run_cases, run_holdfast
from tests.secured.conftest import Authorities
from tests.secured.servers import PASSWORD, USER, SecuredPostgres, SecuredRedis
from tests.stacks import running_stack, shell_environment
from tests.waiting import LONG_S

HS256_SECRET = "hs256-s3cret-of-more-than-32-bytes"
WRONG = "wr0ng-p/ssword"
BAD_SETTINGS, NOT_DONE = 2, 2
TIMES = 5
SUBJECT = ("--subject", "ann", "--tenant", "shop", "--scope", "inventory.admin", "--scope", "inventory.reserve")
# What an operator runs beside the processes that stay.
COMMANDS = ("migrate", "topics", "init", "doctor", "audit", "restore", "orphans")
SALE = """
sales: [{sale_id: lamps, items: [{sku: lamp, total: 3}]}]
"""


class Run:
    """A run: its secrets, its files, and what it has shown."""

    def __init__(self, folder: Path, settings: Mapping[str, str], authorities: Authorities) -> None:
        self.shown: list[Shown] = []
        self.secrets = Secrets()
        self._folder = folder
        self.secrets.add("the password of Redis, PostgreSQL and Kafka", PASSWORD)
        self.secrets.add("a wrong password", WRONG)
        self.secrets.add("the secret of tokens", HS256_SECRET)
        self.file("secret").write_text(HS256_SECRET)
        for name in ("signing.pem", "other.pem"):
            key = self.holdfast("token", "key", self.file(name), "--jwks-file", self.file(f"{name}.jwks"))
            assert key == 0
            self.secrets.add_key("a key that signs tokens", self.file(name))
        certificate = authorities.authority.issue(folder / "serve")
        self.secrets.add_key("the key of the server's certificate", certificate.key)
        self.settings = {
            **settings,
            **TALKATIVE,
            "HOLDFAST_KAFKA_SASL_MECHANISM": "PLAIN",  # which sends the password itself
            "HOLDFAST_AUTH_SECRET_FILE": str(self.file("secret")),
            "HOLDFAST_AUTH_JWKS_FILE": str(self.file("signing.pem.jwks")),
            "HOLDFAST_TLS_CERT_FILE": str(certificate.certificate),
            "HOLDFAST_TLS_KEY_FILE": str(certificate.key),
        }

    def file(self, name: str) -> Path:
        return self._folder / name

    def token(self, *key: str | Path) -> str:
        """A token, which its command prints and no other."""
        done = run_holdfast(["token", "issue", *SUBJECT, *key], TALKATIVE)
        self.shown.append(Shown("token issue", done.stderr))
        return self.secrets.add_token("a token", done.stdout.strip())

    def holdfast(self, *words: str | Path, **environment: str) -> int:
        """Run a command: its exit code."""
        done = run_holdfast(words, {**TALKATIVE, **environment})
        self.shown.append(Shown(f"holdfast {words} with {sorted(environment)}", done.stdout + done.stderr))
        return done.returncode

    def succeed(self, *words: str | Path, **environment: str) -> None:
        """Run a command that succeeds; again where a server was halted for seconds, or was too busy."""
        for _ in range(TIMES):
            if self.holdfast(*words, **environment) == 0:
                return
        raise AssertionError(self.shown[-1])


@pytest.mark.timeout(400)
def test_no_secret_is_shown(
    settings: Mapping[str, str],
    authorities: Authorities,
    redis: SecuredRedis,
    postgres: SecuredPostgres,
    tmp_path: Path,
) -> None:
    """In no log at its most talkative, no answer, error, page, help or command line, whatever was right or wrong."""
    run = Run(tmp_path, settings, authorities)

    with running_stack(tmp_path, lambda name, line: run.shown.append(Shown(name, line)), **run.settings) as stack:
        call_by_tokens(run, stack, authorities)
        environment = {**shell_environment(stack), **run.settings}
        for command in COMMANDS:
            run.succeed(command, **environment)
            run.succeed(command, "--help", **environment)
        read_pages(run)
        run.shown += command_lines()
    connect_wrongly(run, redis, postgres, authorities)

    assert len(run.shown) > 200
    assert run.secrets.found_in(run.shown) == []


def call_by_tokens(run: Run, stack: Stack, authorities: Authorities) -> None:
    """By tokens that are good, in each way to give one; and by tokens that are not, of which nothing is to be seen."""
    run.file("sales.yaml").write_text(SALE)
    run.file("token").write_text(run.token("--key", run.file("signing.pem")))
    caller = {"HOLDFAST_ADDRESS": stack.addresses.listen, "HOLDFAST_CA_FILE": str(authorities.authority.file)}
    by_file = {**caller, "HOLDFAST_TOKEN_FILE": str(run.file("token"))}
    by_secret = {**caller, "HOLDFAST_TOKEN": run.token("--secret-file", run.file("secret"))}
    wrong = [run.token("--key", run.file("other.pem")), run.secrets.add("a text that is no token", "n0.t0ken.at-all")]

    run.succeed("sale", "apply", run.file("sales.yaml"), **by_file)
    run.succeed("reserve", "lamps", "--buyer", "ann", "--line", "lamp=1", "--id", "r-1", **by_secret)
    run.succeed("confirm", "lamps", "r-1", "--json", **by_file)
    for token in wrong:
        for _ in range(TIMES):
            assert run.holdfast("sale", "show", "lamps", **caller, HOLDFAST_TOKEN=token) == NOT_DONE, run.shown[-1]
            if "TOKEN_INVALID" in run.shown[-1].text:  # and not that no server answers in time
                break
        assert "TOKEN_INVALID" in run.shown[-1].text
    run.succeed("sale", "--help", **by_secret)


def read_pages(run: Run) -> None:
    """The metrics and the health of each process that logged where they are."""
    urls = {url for one in run.shown for url in re.findall(r"http://[\w.:]+/metrics", one.text)}
    assert len(urls) >= 4
    for url in urls:
        for page in (url, url.replace("/metrics", "/healthz")):
            try:
                with urllib.request.urlopen(page, timeout=LONG_S) as response:
                    run.shown.append(Shown(page, response.read().decode()))
            except urllib.error.HTTPError as error:
                run.shown.append(Shown(page, error.read().decode()))
            except urllib.error.URLError:  # of a command that has ended
                continue


def connect_wrongly(run: Run, redis: SecuredRedis, postgres: SecuredPostgres, authorities: Authorities) -> None:
    """With passwords that the servers reject, and by a database whose name is taken from a password."""
    user, trusted = f"{USER}:{WRONG.replace('/', '%2F')}", authorities.authority.file
    wrong: list[tuple[str, str, tuple[str, ...]]] = [
        ("HOLDFAST_REDIS_URL", redis.url(user, ca=trusted), ("serve", "relay", "compensate", "init")),
        ("HOLDFAST_POSTGRES_DSN", postgres.dsn(user, ca=trusted), ("serve", "persist", "migrate", "audit")),
        ("HOLDFAST_POSTGRES_DSN", postgres.dsn(f"{USER}:12/{WRONG}", ca=trusted), ("migrate",)),
        ("HOLDFAST_KAFKA_PASSWORD", WRONG, ("relay", "persist", "topics")),
    ]
    cases = [Case([process], {name: value}) for name, value, processes in wrong for process in processes]
    cases.append(Case(["doctor"], {name: value for name, value, _ in wrong[:2]}))

    for ended in run_cases(cases, {**run.settings, "HOLDFAST_METRICS_LISTEN": ""}):
        run.shown.append(ended.shown)
        assert ended.code in (0, BAD_SETTINGS), ended
        assert ended.code == BAD_SETTINGS or "doctor" in ended.case.words, ended
