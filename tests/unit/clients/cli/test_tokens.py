"""`holdfast token` makes keys and tokens that any library verifies, and files that only their owner can read."""

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from holdfast.cli import token_keys, tokens
from holdfast.cli.tokens import Scope
from typer.testing import Result

from inventory_service.adapters.reloaded_files import SettingsFile
from inventory_service.adapters.tokens.key_files import KeyFiles
from inventory_service.adapters.tokens.verifier import JwtVerifier
from inventory_service.domain.caller import ALL_SCOPES, TENANT
from inventory_service.domain.token_claims import TokenRules
from tests.unit.clients.cli.command import invoke

ISSUE = ("token", "issue", "--subject", "ada", "--tenant", "shop", "--scope", "inventory.read")
ASYMMETRIC = ("RS256", "ES256", "EdDSA")
NEVER_SET = {"HOLDFAST_AUTH_ISSUER": "", "HOLDFAST_AUTH_AUDIENCE": "", "HOLDFAST_AUTH_TENANT_CLAIM": ""}


@pytest.fixture(autouse=True)
def small_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full RSA key takes half a second to make."""
    monkeypatch.setattr(token_keys, "RSA_BITS", 2048)


def run(*words: str | Path) -> Result:
    return invoke([str(word) for word in words], NEVER_SET)


def issued(*words: str | Path) -> Any:
    done = run(*ISSUE, *words, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def keys_of(jwks_file: Path) -> list[dict[str, Any]]:
    return [*json.loads(jwks_file.read_text())["keys"]]


def claims_by(jwk: Mapping[str, Any], token: str, **options: Any) -> Any:
    """What a server reads that has this key."""
    return jwt.decode(token, jwt.PyJWK(dict(jwk)), [jwk["alg"]], **options)


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_token_is_verified_by_the_key_of_the_jwks(tmp_path: Path, algorithm: str) -> None:
    """The key id and the algorithm are found from the private key alone."""
    made = run("token", "key", tmp_path / "a.pem", "--algorithm", algorithm, "--json")

    token = issued("--key", tmp_path / "a.pem", "--scope", "inventory.reserve", "--for", "2h")
    [jwk] = keys_of(tmp_path / "jwks.json")

    assert jwk["alg"] == algorithm
    assert not {"d", "p", "q"} & jwk.keys()
    assert jwk["kid"] == json.loads(made.stdout)["kid"] == jwt.get_unverified_header(token["token"])["kid"]
    claims = claims_by(jwk, token["token"])
    assert claims == token["claims"]
    assert (claims["sub"], claims["tenant"], claims["scope"]) == ("ada", "shop", "inventory.read inventory.reserve")
    assert claims["exp"] - claims["iat"] == 7200


@pytest.mark.parametrize("algorithm", [*ASYMMETRIC, "HS256"])
def test_the_server_takes_the_token(tmp_path: Path, algorithm: str) -> None:
    """By the file that the command has made for it, and also while it has a second key."""
    for name in ("a", "other"):
        run("token", "key", tmp_path / name, "--algorithm", algorithm)
    is_secret = algorithm == "HS256"
    secret, jwks = (SettingsFile("HOLDFAST_ANY", str(tmp_path / name)) for name in ("a", "jwks.json"))
    keys = KeyFiles(secret, None) if is_secret else KeyFiles(None, jwks)
    rules = TokenRules(tenant_claim="org")
    verifier = JwtVerifier(keys, rules, issuer="https://login.example", audience="holdfast")
    said = ("--issuer", "https://login.example", "--audience", "holdfast", "--tenant-claim", "org", "--for", "24h")

    token = issued("--secret-file" if is_secret else "--key", tmp_path / "a", *said, "--scope", "inventory.admin")
    caller = verifier.verify(token["token"])

    assert (caller.tenant, caller.subject, caller.jti) == ("shop", "ada", token["claims"]["jti"])
    assert caller.scopes == {"inventory.read", "inventory.admin"}
    assert caller.expires_at - caller.issued_at == 86_400 + rules.leeway_s


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_newline_at_the_end_of_a_secret_does_not_count(tmp_path: Path, end: str) -> None:
    """For an editor that adds one; the server reads it likewise."""
    file = tmp_path / "secret"
    file.write_text("s" * 32 + end)

    token = issued("--secret-file", file)

    verifier = JwtVerifier(KeyFiles(SettingsFile("", str(file)), None), TokenRules())
    assert verifier.verify(token["token"]).subject == "ada"
    assert jwt.decode(token["token"], b"s" * 32, ["HS256"])["sub"] == "ada"


def test_a_token_of_a_secret_is_verified_by_the_file_as_it_is(tmp_path: Path) -> None:
    """The file has neither line break nor blanks, so that it is one secret however it is read."""
    file = tmp_path / "secret"
    run("token", "key", file, "--algorithm", "hs256")

    token = issued("--secret-file", file)

    secret = file.read_bytes()
    assert len(secret) >= 32
    assert secret == secret.strip()
    assert jwt.decode(token["token"], secret, ["HS256"]) == token["claims"]


def test_a_token_alone_is_printed_to_standard_output(tmp_path: Path) -> None:
    """So that a shell can take it; its id, which no secret is, goes to standard error."""
    run("token", "key", tmp_path / "secret", "--algorithm", "HS256")

    done = run(*ISSUE, "--secret-file", tmp_path / "secret")

    claims = jwt.decode(done.stdout.strip(), (tmp_path / "secret").read_bytes(), ["HS256"])
    assert done.stderr.startswith(f"token id {claims['jti']}, valid until 2")


def test_issuer_audience_and_the_tenants_claim_are_those_of_the_server(tmp_path: Path) -> None:
    """From options, or from the variables that the server reads."""
    run("token", "key", tmp_path / "a.pem")
    words = [*ISSUE, "--key", str(tmp_path / "a.pem"), "--issuer", "https://login.example", "--json"]

    done = invoke(words, {"HOLDFAST_AUTH_AUDIENCE": "holdfast", "HOLDFAST_AUTH_TENANT_CLAIM": "org"})

    [jwk] = keys_of(tmp_path / "jwks.json")
    claims = claims_by(jwk, json.loads(done.stdout)["token"], audience="holdfast", issuer="https://login.example")
    assert claims["org"] == "shop"
    assert "tenant" not in claims


def test_private_files_are_their_owners_alone(tmp_path: Path) -> None:
    """Also one that replaces a file that others could read; a JWKS is public, and keeps the mode that it was given."""
    old = tmp_path / "old.pem"
    old.write_text("open to all")
    old.chmod(0o644)

    for words in (("a.pem",), ("secret", "--algorithm", "HS256"), ("old.pem", "--force")):
        assert run("token", "key", tmp_path / words[0], *words[1:]).exit_code == 0

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == {"a.pem": 0o600, "secret": 0o600, "old.pem": 0o600, "jwks.json": 0o644}


@pytest.mark.parametrize("algorithm", ["ES256", "HS256"])
def test_a_file_is_replaced_only_if_that_is_asked_for(tmp_path: Path, algorithm: str) -> None:
    """Every token that the old key could sign would be lost; and then the JWKS stays as it was too."""
    file = tmp_path / "key"
    file.write_text("precious")

    refused = run("token", "key", file, "--algorithm", algorithm)

    assert refused.exit_code == 2
    assert "add --force" in refused.stderr
    assert file.read_text() == "precious"
    assert [each.name for each in tmp_path.iterdir()] == ["key"]
    assert run("token", "key", file, "--algorithm", algorithm, "--force").exit_code == 0
    assert file.read_text() != "precious"


def test_a_rotation_adds_a_key_and_keeps_the_others(tmp_path: Path) -> None:
    """Tokens of both are good until the old key is taken out; what a JWKS has beside is kept."""
    jwks = tmp_path / "public.json"
    jwks.write_text(json.dumps({"keys": [{"kty": "RSA", "kid": "of-another-system", "x-note": 1}]}))

    for name in ("old", "new"):
        run("token", "key", tmp_path / name, "--jwks-file", jwks)

    other, *ours = keys_of(jwks)
    assert other == {"kty": "RSA", "kid": "of-another-system", "x-note": 1}
    for name, jwk in zip(("old", "new"), ours, strict=True):
        assert claims_by(jwk, issued("--key", tmp_path / name)["token"])["sub"] == "ada"


def test_a_key_id_of_ones_own_is_named_again_with_each_token(tmp_path: Path) -> None:
    """A second key with that id would make it unclear which one is meant."""
    run("token", "key", tmp_path / "a.pem", "--kid", "2026-11")

    again = run("token", "key", tmp_path / "b.pem", "--kid", "2026-11")
    token = issued("--key", tmp_path / "a.pem", "--kid", "2026-11")

    assert again.exit_code == 2
    assert "has a key with the id 2026-11 already" in again.stderr
    assert not (tmp_path / "b.pem").exists()
    assert jwt.get_unverified_header(token["token"])["kid"] == "2026-11"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "is no JSON"),
        ("[]", "is no JWKS"),
        ('{"keys": [1]}', "is no JWKS"),
        ('{"keys": [{"kty": "RSA"}]}', "has a key without a `kid`"),
        ('{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', "has a private key or a secret"),
    ],
)
def test_a_jwks_that_would_be_spoilt_is_left_alone(tmp_path: Path, content: str, why: str) -> None:
    """And no key is made that no server knows."""
    (tmp_path / "jwks.json").write_text(content)

    done = run("token", "key", tmp_path / "a.pem")

    assert done.exit_code == 2
    assert why in done.stderr
    assert (tmp_path / "jwks.json").read_text() == content
    assert not (tmp_path / "a.pem").exists()


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--key", "a.pem", "--secret-file", "secret"),
        ("--key", "missing.pem"),
        ("--key", "a.pem", "--scope", "inventory.everything"),
        ("--key", "a.pem", "--for", "25h"),
        ("--key", "a.pem", "--for", "0"),
        ("--key", "a.pem", "--tenant", "Shop"),
        ("--key", "a.pem", "--tenant", "shop-"),
        ("--key", "a.pem", "--subject", ""),
        ("--key", "a.pem", "--subject", "a" * 256),
        ("--key", "a.pem", "--tenant-claim", "sub"),
    ],
    ids=" ".join,
)
def test_a_token_that_no_server_takes_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """One line and exit code 2."""
    monkeypatch.chdir(tmp_path)
    for name, algorithm in (("a.pem", "ES256"), ("secret", "HS256")):
        run("token", "key", name, "--algorithm", algorithm)

    done = run(*ISSUE, *words)

    [line] = done.stderr.splitlines()
    assert line.startswith("holdfast: ")
    assert (done.exit_code, done.stdout) == (2, "")


def unusable_keys() -> dict[str, tuple[bytes, str]]:
    key, pem = ec.generate_private_key(ec.SECP256R1()), (Encoding.PEM, PrivateFormat.PKCS8)
    other_curve = ec.generate_private_key(ec.SECP384R1())
    return {
        "encrypted": (key.private_bytes(*pem, BestAvailableEncryption(b"marker")), "is encrypted"),
        "curve": (other_curve.private_bytes(*pem, NoEncryption()), "is a key for none of RS256"),
        "broken": (b"-----BEGIN PRIVATE KEY-----\nmarker\n-----END PRIVATE KEY-----\n", "is no private key in PEM"),
        "none": (b"marker", "is no private key in PEM"),
    }


@pytest.mark.parametrize("kind", ["encrypted", "curve", "broken", "none"])
def test_a_key_that_cannot_sign_is_named_and_not_shown(tmp_path: Path, kind: str) -> None:
    """The sentence says which file, and what is wrong with it."""
    content, why = unusable_keys()[kind]
    (tmp_path / "a.pem").write_bytes(content)

    done = run(*ISSUE, "--key", tmp_path / "a.pem")

    assert done.exit_code == 2
    assert f"{tmp_path}/a.pem: {why}" in done.stderr
    assert "marker" not in done.stderr


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("marker\n", "has 6 bytes, and HS256 needs at least 32"),
        (f"-----BEGIN CERTIFICATE-----\n{'marker' * 9}\n-----END CERTIFICATE-----", "is a key or a certificate"),
    ],
)
def test_what_is_no_secret_is_refused(tmp_path: Path, content: str, why: str) -> None:
    """As the server refuses it."""
    (tmp_path / "secret").write_text(content)

    done = run(*ISSUE, "--secret-file", tmp_path / "secret")

    assert done.exit_code == 2
    assert why in done.stderr
    assert "marker" not in done.stderr


@pytest.mark.parametrize("words", [("key", "a.pem"), (*ISSUE[1:], "--key", "a.pem")], ids=["key", "issue"])
def test_without_the_libraries_the_command_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """The client alone does without them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(token_keys, "LIBRARIES", ("no_such_library",))

    done = run("token", *words)

    assert done.exit_code == 2
    assert f"`holdfast token {words[0]}` needs more: install Holdfast with its extra [server]" in done.stderr


def test_scopes_and_tenants_are_those_that_the_server_takes() -> None:
    """A scope that is missing here could be given to no token."""
    assert set(Scope) == ALL_SCOPES
    assert tokens.TENANT.pattern == TENANT.pattern
