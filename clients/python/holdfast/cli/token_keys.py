"""Makes and reads the keys that sign tokens, and signs with them; the libraries come with the extra [server]."""

import base64
import importlib.util
import json
import secrets
from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast.cli.fail import fail
from holdfast.cli.secret_files import content_of, replace_file, write_secret

if TYPE_CHECKING:
    from jwt.algorithms import AllowedPrivateKeys

SECRET_BYTES = 32  # fewer are refused for HS256
RSA_BITS, LEAST_RSA_BITS = 3072, 2048
LIBRARIES = ("jwt", "cryptography")
# What a JWK's thumbprint is made of (RFC 7638), by its type.
THUMBPRINT_FIELDS = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}
PRIVATE_FIELDS = {"d", "k"}


class Algorithm(StrEnum):
    """How a token is signed."""

    HS256 = "HS256"  # with a secret that the server has too
    RS256 = "RS256"
    ES256 = "ES256"
    EDDSA = "EdDSA"


class SigningKey(NamedTuple):
    """A key, the algorithm to which it is bound, and its id; '' for a secret, which is in no JWKS."""

    key: "AllowedPrivateKeys | bytes"
    algorithm: Algorithm
    kid: str


def need_libraries(command: str) -> None:
    """Fail if the libraries are missing, which the client itself does not need."""
    if any(importlib.util.find_spec(library) is None for library in LIBRARIES):
        fail(f"`holdfast {command}` needs more: install Holdfast with its extra [server]")


def make_secret(file: Path, *, force: bool) -> None:
    """Write a new secret for HS256: text of one line, so that it also fits into a variable or a form."""
    write_secret(file, secrets.token_urlsafe(SECRET_BYTES).encode(), force=force)


def make_key(file: Path, jwks_file: Path, algorithm: Algorithm, kid: str, *, force: bool) -> str:
    """Write a new private key, and add its public half to a JWKS; return its id."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    keys = _keys_of(jwks_file)
    key = _new_key(algorithm)
    public = _public_jwk(key, algorithm, kid)
    if any(public["kid"] == other.get("kid") for other in keys):
        fail(f"{jwks_file}: has a key with the id {public['kid']} already; choose another")
    write_secret(file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), force=force)
    replace_file(jwks_file, (json.dumps({"keys": [*keys, public]}, indent=2) + "\n").encode())
    return str(public["kid"])


def read_key(file: Path, kid: str) -> SigningKey:
    """The private key of a PEM file; `kid`, if empty, is what `make_key` takes by default."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    key = _private_key(file)
    if isinstance(key, RSAPrivateKey) and key.key_size >= LEAST_RSA_BITS:
        algorithm = Algorithm.RS256
    elif isinstance(key, Ed25519PrivateKey):
        algorithm = Algorithm.EDDSA
    elif isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        algorithm = Algorithm.ES256
    else:
        kinds = f"RS256 (at least {LEAST_RSA_BITS} bits), ES256 (the curve P-256) and EdDSA (Ed25519)"
        fail(f"{file}: is a key for none of {kinds}")
    return SigningKey(key, algorithm, str(_public_jwk(key, algorithm, kid)["kid"]))


def read_secret(file: Path, kid: str) -> SigningKey:
    """The secret of a file; a newline at its end does not count."""
    from jwt import InvalidKeyError
    from jwt.algorithms import HMACAlgorithm

    secret = content_of(file).removesuffix(b"\n").removesuffix(b"\r")
    if len(secret) < SECRET_BYTES:
        fail(f"{file}: has {len(secret)} bytes, and HS256 needs at least {SECRET_BYTES}")
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except InvalidKeyError:
        fail(f"{file}: is a key or a certificate, and no secret")
    return SigningKey(secret, Algorithm.HS256, kid)


def sign(claims: Mapping[str, Any], key: SigningKey) -> str:
    """The token."""
    import jwt

    return jwt.encode({**claims}, key.key, key.algorithm.value, headers={"kid": key.kid} if key.kid else None)


def _new_key(algorithm: Algorithm) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if algorithm is Algorithm.RS256:
        return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    if algorithm is Algorithm.ES256:
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


def _private_key(file: Path) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(content_of(file), password=None)
    except TypeError:
        fail(f"{file}: is encrypted; `openssl pkey -in FILE` decrypts it")
    except (ValueError, UnsupportedAlgorithm):  # their texts may show a part of the file
        fail(f"{file}: is no private key in PEM")


def _public_jwk(key: Any, algorithm: Algorithm, kid: str) -> dict[str, Any]:
    """The public half; its id, if none is given, is the thumbprint, which can be found from either half."""
    from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

    kinds = {Algorithm.RS256: RSAAlgorithm, Algorithm.ES256: ECAlgorithm, Algorithm.EDDSA: OKPAlgorithm}
    made: dict[str, Any] = kinds[algorithm].to_jwk(key.public_key(), as_dict=True)  # type: ignore[attr-defined]
    jwk = {name: value for name, value in made.items() if name != "key_ops"}
    return {**jwk, "use": "sig", "alg": algorithm.value, "kid": kid or _thumbprint(jwk)}


def _thumbprint(jwk: Mapping[str, str]) -> str:
    fields = {name: jwk[name] for name in THUMBPRINT_FIELDS[jwk["kty"]]}
    digest = sha256(json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _keys_of(jwks_file: Path) -> list[dict[str, Any]]:
    """The keys of a JWKS, none if there is no such file; one that would be spoilt by adding to it ends the command."""
    if not jwks_file.exists():
        return []
    try:
        found = json.loads(content_of(jwks_file))
    except ValueError:
        fail(f"{jwks_file}: is no JSON")
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        fail(f"{jwks_file}: is no JWKS, an object with a list of `keys`")
    if any(PRIVATE_FIELDS & key.keys() for key in keys):
        fail(f"{jwks_file}: has a private key or a secret, which no JWKS for a server needs")
    if not all(key.get("kid") for key in keys):
        fail(f"{jwks_file}: has a key without a `kid`, by which a server tells several keys apart")
    return keys
