"""Makes keys, the files with them, and tokens that they sign, as an issuer of tokens does."""

import json
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms

SECRET = b"0123456789abcdef0123456789abcdef"  # of as many bytes as are needed
LIFETIME_S = 600
Claims = Mapping[str, Any]


class Key(NamedTuple):
    """A key that signs, and its name."""

    kid: str
    algorithm: str
    private: Any

    def public(self, **changed: Any) -> dict[str, Any]:
        """The public key as a JWKS lists it; None leaves a member out."""
        jwk = get_default_algorithms()[self.algorithm].to_jwk(self.private.public_key(), as_dict=True)
        jwk = {**jwk, "kid": self.kid, "alg": self.algorithm, **changed}
        return {name: value for name, value in jwk.items() if value is not None}

    def private_jwk(self) -> dict[str, Any]:
        """The whole key."""
        return {**get_default_algorithms()[self.algorithm].to_jwk(self.private, as_dict=True), "kid": self.kid}

    def pem(self) -> bytes:
        """The public key as PEM."""
        pem: bytes = self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return pem

    def token(self, claims: Claims, **header: Any) -> str:
        """A token with these claims; its header has this key's `kid`, unless one is given, or None."""
        header = {"kid": self.kid, **header}
        named = {name: value for name, value in header.items() if value is not None}
        return _signed(claims, self.private, self.algorithm, named)


@cache
def rsa_key(kid: str = "rsa", bits: int = 2048) -> Key:
    """A key for RS256: one a process, for they take a tenth of a second."""
    return Key(kid, "RS256", rsa.generate_private_key(65537, bits))


def ec_key(kid: str = "ec", curve: ec.EllipticCurve | None = None) -> Key:
    """A key for ES256, or of another curve."""
    return Key(kid, "ES256" if curve is None else "ES384", ec.generate_private_key(curve or ec.SECP256R1()))


def ed_key(kid: str = "ed") -> Key:
    """A key for EdDSA."""
    return Key(kid, "EdDSA", ed25519.Ed25519PrivateKey.generate())


def secret_token(claims: Claims, secret: bytes = SECRET, algorithm: str = "HS256", **header: Any) -> str:
    """A token that is signed with a secret."""
    return _signed(claims, secret, algorithm, header)


def _signed(claims: Claims, key: Any, algorithm: str, header: dict[str, Any]) -> str:
    """PyJWT's own `encode` refuses some claims that a bad issuer may make."""
    return jwt.PyJWS().encode(json.dumps(claims).encode(), key, algorithm, header)


def jwks(*keys: Key | Mapping[str, Any]) -> bytes:
    """What a JWKS file with these keys holds."""
    return json.dumps({"keys": [key.public() if isinstance(key, Key) else key for key in keys]}).encode()


def write(path: Path, content: bytes) -> Path:
    """As key files should be changed: no reader sees half of it."""
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(content)
    new.replace(path)
    return path


def claims(now_s: float | None = None, **changed: Any) -> dict[str, Any]:
    """The claims of a good token; None leaves one out."""
    issued_s = int(time.time() if now_s is None else now_s)
    usual: dict[str, Any] = {
        "sub": "ann",
        "tenant": "acme",
        "scope": "inventory.reserve",
        "iat": issued_s,
        "exp": issued_s + LIFETIME_S,
    }
    return {name: value for name, value in {**usual, **changed}.items() if value is not None}
