"""Key files: which keys are taken, which are left out, and what makes a file useless."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from inventory_service.adapters.tokens.keys import BadKeys, public_keys, secret_key
from tests.tokens import SECRET, ec_key, ed_key, jwks, rsa_key

EC = ec_key()


def problem(raw: bytes) -> str:
    """Why a JWKS is of no use."""
    with pytest.raises(BadKeys) as bad:
        public_keys(raw)
    return str(bad.value)


def test_each_key_has_its_algorithm() -> None:
    """By `alg`, or by what it is; a JWKS need not say more."""
    found = public_keys(jwks(rsa_key(), ec_key().public(alg=None), ed_key().public(alg=None, use="sig")))

    assert [str(key) for key in found.keys] == ["rsa (RS256)", "ec (ES256)", "ed (EdDSA)"]
    assert found.ignored == []


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"use": "enc"}, "is not for signatures"),
        ({"key_ops": ["sign"]}, "is not for verifying"),
        ({"key_ops": "verify"}, "is not for verifying"),
        ({"alg": "ES512"}, "is for 'ES512', which is not used here"),
        ({"alg": "RS256"}, "is for 'RS256', which is not used here"),
        ({"alg": "none"}, "is for 'none', which is not used here"),
        ({"alg": "HS256"}, "is for 'HS256', which is not used here"),
        ({"crv": "P-384"}, "is of a kind that is not used here: kty 'EC', crv 'P-384'"),
        ({"crv": None}, "is of a kind that is not used here: kty 'EC', crv None"),
        ({"kty": "new"}, "is of a kind that is not used here: kty 'new', crv 'P-256'"),
        ({"kty": ["EC"]}, "is of a kind that is not used here: kty ['EC'], crv 'P-256'"),
    ],
)
def test_keys_for_something_else_are_left_out(changed: Mapping[str, Any], why: str) -> None:
    """Providers list keys for encryption and for other algorithms beside those for tokens."""
    found = public_keys(jwks(ed_key(), EC.public(**changed)))

    assert [key.kid for key in found.keys] == ["ed"]
    assert found.ignored == [f"key 'ec' {why}"]
    assert problem(jwks(EC.public(**changed))) == f"has no key that verifies tokens; key 'ec' {why}"


def test_a_secret_in_a_jwks_is_left_out() -> None:
    """What providers publish is no secret."""
    oct_key = {"kty": "oct", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY", "kid": "s", "alg": "HS256"}

    assert [key.kid for key in public_keys(jwks(EC, oct_key)).keys] == ["ec"]
    assert "HOLDFAST_AUTH_SECRET_FILE" in problem(jwks(oct_key))


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (jwks(EC)[:-9], "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is no JWKS: it has no `keys`"),
        (b"{}", "is no JWKS: it has no `keys`"),
        (b'{"keys": {}}', "is no JWKS: `keys` is no list of objects"),
        (b'{"keys": ["a"]}', "is no JWKS: `keys` is no list of objects"),
        (b'{"keys": []}', "has no key that verifies tokens"),
        (jwks(EC, EC), "has two keys with the `kid` 'ec'"),
        (jwks(EC, ed_key().public(kid=None)), "has several keys, and one without a `kid`"),
        (jwks(EC.public(kid=7)), "key number 1 has a `kid` that is no text"),
        (jwks(EC.public(x="AAAA")), "key 'ec' cannot be read: "),
        (jwks(EC.public(x=None)), "key 'ec' cannot be read: "),
        (jwks(rsa_key().public(n="AQAB")), "key 'rsa' "),
        (jwks(rsa_key(bits=1024)), "key 'rsa' has 1024 bits, and an RSA key needs at least 2048"),
        (jwks(EC.private_jwk()), "key 'ec' is private: a server needs the public keys alone"),
    ],
)
def test_a_file_that_is_of_no_use_says_why(raw: bytes, why: str) -> None:
    """In one line, without what the file holds."""
    assert problem(raw).startswith(why)
    assert "\n" not in problem(raw)


def test_a_curve_of_another_algorithm_is_left_out() -> None:
    """P-384 is for ES384."""
    found = public_keys(jwks(EC, ec_key("big", ec.SECP384R1())))

    assert [key.kid for key in found.keys] == ["ec"]


def test_a_key_may_stand_alone_without_a_name() -> None:
    """Tokens need no `kid` then."""
    assert [str(key) for key in public_keys(jwks(EC.public(kid=None))).keys] == ["ES256"]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_secret_is_what_stands_before_the_end_of_the_line(end: bytes) -> None:
    """Editors and `openssl rand` put a newline there."""
    assert secret_key(SECRET + end).key == SECRET


def test_a_secret_is_not_shown() -> None:
    """A log may say that there is one."""
    assert str(secret_key(SECRET)) == repr(secret_key(SECRET)) == "HS256"


@pytest.mark.parametrize("raw", [b"", SECRET[1:], SECRET[1:] + b"\n"])
def test_a_short_secret_is_refused(raw: bytes) -> None:
    """It could be guessed from a token."""
    with pytest.raises(BadKeys, match=r"has \d+ bytes, and a secret needs at least 32"):
        secret_key(raw)


@pytest.mark.parametrize("key", [rsa_key(), EC, ed_key()])
def test_a_public_key_is_no_secret(key: Any) -> None:
    """Everyone could sign with it."""
    with pytest.raises(BadKeys, match="is a key or a certificate, and no secret"):
        secret_key(key.pem())


def test_a_jwks_is_no_secret() -> None:
    """It is what others are given."""
    with pytest.raises(BadKeys, match="is a JWKS, and no secret"):
        secret_key(json.dumps(json.loads(jwks(EC)), indent=1).encode())
