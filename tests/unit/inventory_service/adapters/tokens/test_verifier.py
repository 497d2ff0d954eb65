"""Which tokens are valid: their algorithm, signature, header, issuer and audience."""

import base64
import json
from pathlib import Path
from typing import Any

import jwt
import pytest

from inventory_service.adapters.tokens.verifier import JwtVerifier
from inventory_service.domain.caller import RESERVE, Caller
from inventory_service.domain.token_claims import TokenRules
from inventory_service.domain.tokens import TokenRejected
from tests.tokens import SECRET, Key, claims, ec_key, ed_key, rsa_key, secret_token, write
from tests.unit.inventory_service.adapters.tokens.key_folder import KeyFolder

NOW_S = 1_800_000_000
EC, ED, RSA = ec_key(), ed_key(), rsa_key()
GOOD = claims(NOW_S)
ANN = Caller("acme", "ann", frozenset({RESERVE}), "", NOW_S, NOW_S + 605)


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    folder = KeyFolder(tmp_path)
    folder.publish(RSA, EC, ED)
    return folder


def verifier(folder: KeyFolder, **settings: str) -> JwtVerifier:
    return JwtVerifier(folder.read(), TokenRules(), clock=lambda: NOW_S, **settings)


def problem(folder: KeyFolder, token: str, **settings: str) -> str:
    """Why a token is not valid."""
    with pytest.raises(TokenRejected) as rejected:
        verifier(folder, **settings).verify(token)
    return str(rejected.value)


def segment(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize("key", [RSA, EC, ED])
def test_a_token_that_a_key_signed_is_valid(folder: KeyFolder, key: Key) -> None:
    """By each algorithm."""
    assert verifier(folder).verify(key.token(GOOD)) == ANN


def test_a_token_that_the_secret_signed_is_valid(folder: KeyFolder) -> None:
    """Also beside public keys."""
    write(folder.secret, SECRET + b"\n")

    assert verifier(folder).verify(secret_token(GOOD)) == ANN
    assert verifier(folder).verify(EC.token(GOOD)) == ANN
    assert problem(folder, secret_token(GOOD, secret=SECRET + b"\n")) == "bad_signature"
    assert problem(folder, secret_token(GOOD, algorithm="HS512", secret=SECRET * 2)) == "wrong_algorithm"


@pytest.mark.parametrize("key", [RSA, EC, ED])
def test_a_token_that_another_key_of_the_name_signed_is_not(folder: KeyFolder, key: Key) -> None:
    """A name proves nothing."""
    forger = {"rsa": rsa_key("forged"), "ec": ec_key(), "ed": ed_key()}[key.kid]

    assert problem(folder, forger.token(GOOD, kid=key.kid)) == "bad_signature"
    assert problem(folder, forger.token(GOOD, kid="forged")) == "unknown_key"
    assert problem(folder, forger.token(GOOD, kid=None)) == "no_kid"


@pytest.mark.parametrize("key", [RSA, EC, ED])
def test_a_token_that_was_changed_is_not_valid(folder: KeyFolder, key: Key) -> None:
    """Nor one whose signature was cut off."""
    header, _, signature = key.token(GOOD).split(".")
    body = segment({**GOOD, "tenant": "other"})

    assert problem(folder, f"{header}.{body}.{signature}") == "bad_signature"
    assert problem(folder, f"{header}.{body}.") == "bad_signature"


def test_a_public_key_is_not_taken_for_a_secret(folder: KeyFolder) -> None:
    """The oldest forgery: HS256 with what everyone may know."""
    header, body = segment({"alg": "HS256", "kid": "rsa"}), segment(GOOD)
    signer = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    for secret in (RSA.pem(), RSA.pem().strip(), json.dumps(RSA.public()).encode()):
        forged = f"{header}.{body}.{segment(signer.sign(f'{header}.{body}'.encode(), secret))}"

        assert problem(folder, forged) == "wrong_algorithm"
        write(folder.secret, SECRET)
        assert problem(folder, forged) == "bad_signature"
        folder.secret.unlink()


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", None, 0, ["RS256"], {"a": "RS256"}])
def test_a_token_without_a_signature_is_not_valid(folder: KeyFolder, name: Any) -> None:
    """However `none` is spelt."""
    write(folder.secret, SECRET)
    unsigned = f"{segment({'alg': name, 'kid': 'rsa'})}.{segment(GOOD)}"

    assert problem(folder, f"{unsigned}.") == "wrong_algorithm"
    assert problem(folder, f"{unsigned}.{segment(b'any')}") == "wrong_algorithm"


def test_the_algorithm_of_another_key_is_not_taken(folder: KeyFolder) -> None:
    """The name leads to the key, and that has one algorithm."""
    assert problem(folder, EC.token(GOOD, kid="rsa")) == "wrong_algorithm"
    token = jwt.encode(GOOD, RSA.private, "RS512", headers={"kid": "rsa"})
    assert problem(folder, token) == "wrong_algorithm"
    token = jwt.encode(GOOD, RSA.private, "PS256", headers={"kid": "rsa"})
    assert problem(folder, token) == "wrong_algorithm"


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"crit": []}, {"crit": ["b64"]}, {"crit": None}, {"kid": 7}])
def test_a_header_that_asks_for_more_is_refused(folder: KeyFolder, header: dict[str, Any]) -> None:
    """What is critical and not done must not be passed over."""
    unsigned = f"{segment({'alg': 'ES256', 'kid': 'ec', **header})}.{segment(GOOD)}"
    signature = jwt.algorithms.get_default_algorithms()["ES256"].sign(unsigned.encode(), EC.private)

    assert problem(folder, f"{unsigned}.{segment(signature)}") == "bad_header"


def test_keys_that_a_token_brings_along_are_not_looked_at(folder: KeyFolder) -> None:
    """Nor are addresses of keys."""
    forger = ec_key("forged")
    for header in ({"jwk": forger.public()}, {"jku": "https://127.0.0.1:1/jwks"}, {"x5u": "https://127.0.0.1:1/x"}):
        assert problem(folder, forger.token(GOOD, kid="ec", **header)) == "bad_signature"
        assert problem(folder, forger.token(GOOD, **header)) == "unknown_key"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "ann",
        "a.b.c",
        "..",
        "a.b",
        f"{segment([])}.{segment(GOOD)}.AAAA",
        f"{segment(b'[' * 6000)}.{segment(GOOD)}.AAAA",
        f"{segment(b'1' * 6000)}.{segment(GOOD)}.AAAA",
        f"{segment(b'{')}.{segment(GOOD)}.AAAA",
        f"{segment({'alg': 'ES256', 'kid': 'ec'})}.!!!.AAAA",
        f"{segment({'alg': 'ES256', 'kid': 'ec'})}.{segment(GOOD)}.{segment(GOOD)}.AAAA",
        f"{segment({'alg': 'ES256', 'kid': 'ec', 'b64': False})}.{segment(GOOD)}.AAAA",
        "a.b.c.d.e",
        "ä.ö.ü",
        EC.token(GOOD) + "=",
        EC.token(GOOD) + " ",
    ],
)
def test_what_is_no_token_is_refused(folder: KeyFolder, token: str) -> None:
    """Whatever it is, it is no failure of the server's."""
    assert problem(folder, token) in ("unreadable", "bad_signature")


@pytest.mark.parametrize("body", [b"[]", b"7", b"{", b"[" * 6000, b"\xff"])
def test_a_body_that_is_no_claims_is_refused(folder: KeyFolder, body: bytes) -> None:
    """An issuer can make mistakes, too."""
    unsigned = f"{segment({'alg': 'EdDSA', 'kid': 'ed'})}.{segment(body)}"

    assert problem(folder, f"{unsigned}.{segment(ED.private.sign(unsigned.encode()))}") == "unreadable"


@pytest.mark.parametrize("issuer", [None, "https://other.example", "", ["https://a.example"], 7])
def test_the_issuer_is_the_one_of_the_settings(folder: KeyFolder, issuer: Any) -> None:
    """If one is set; else it is not looked at."""
    token = EC.token(claims(NOW_S, iss=issuer))

    assert problem(folder, token, issuer="https://a.example").endswith("_claim iss")
    assert verifier(folder).verify(token) == ANN
    good = EC.token(claims(NOW_S, iss="https://a.example"))
    assert verifier(folder, issuer="https://a.example").verify(good) == ANN


@pytest.mark.parametrize("audience", [None, "other", "", [], ["other"], 7, ["holdfast", 7]])
def test_the_audience_is_the_one_of_the_settings(folder: KeyFolder, audience: Any) -> None:
    """Or has it among others; a token for another service is refused, though the same issuer made it."""
    token = EC.token(claims(NOW_S, aud=audience))

    assert problem(folder, token, audience="holdfast").endswith("_claim aud")
    assert verifier(folder).verify(token) == ANN
    for good in ("holdfast", ["other", "holdfast"]):
        assert verifier(folder, audience="holdfast").verify(EC.token(claims(NOW_S, aud=good))) == ANN


def test_the_claims_are_judged_after_the_signature(folder: KeyFolder) -> None:
    """What is wrong with a forged token is the signature."""
    assert problem(folder, EC.token(claims(NOW_S, exp=str(NOW_S + 600)))) == "bad_claim exp"
    assert problem(folder, EC.token(claims(NOW_S - 1000))) == "expired"
    assert problem(folder, ec_key().token(claims(NOW_S - 1000))) == "bad_signature"
