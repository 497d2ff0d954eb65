"""Reads keys: a secret, or the public keys of a JWKS file, each bound to the one algorithm that it is for."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from jwt import PyJWK
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import PyJWTError

HS256 = "HS256"
MIN_SECRET_BYTES = 32
MIN_RSA_BITS = 2048
PUBLIC_ALGORITHMS = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}  # by kty and crv


class BadKeys(Exception):
    """What a key file holds cannot be used; the message says why."""


class TokenKey(NamedTuple):
    """A key that verifies signatures."""

    kid: str  # empty: none
    algorithm: str
    key: Any  # bytes, or a public key of cryptography

    def __repr__(self) -> str:  # a log shows no secret
        return f"{self.kid} ({self.algorithm})" if self.kid else self.algorithm


class PublicKeys(NamedTuple):
    """The keys of a JWKS."""

    keys: Sequence[TokenKey]
    ignored: Sequence[str]  # a line for each that is for something else


def secret_key(raw: bytes) -> TokenKey:
    """The secret in a file; a newline at its end does not count. BadKeys if it is too short, or no secret."""
    secret = raw.removesuffix(b"\n").removesuffix(b"\r")
    if len(secret) < MIN_SECRET_BYTES:
        raise BadKeys(f"has {len(secret)} bytes, and a secret needs at least {MIN_SECRET_BYTES}")
    if secret.lstrip().startswith(b"{"):
        raise BadKeys("is a JWKS, and no secret")
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except PyJWTError:
        raise BadKeys("is a key or a certificate, and no secret") from None
    return TokenKey("", HS256, secret)


def public_keys(raw: bytes) -> PublicKeys:
    """The keys of a JWKS; BadKeys if it is none, holds a private key, or has no key that verifies tokens."""
    keys, ignored = list[TokenKey](), list[str]()
    for number, jwk in enumerate(_listed(raw), 1):
        name = f"key {jwk['kid']!r}" if isinstance(jwk.get("kid"), str) else f"key number {number}"
        if "d" in jwk:
            raise BadKeys(f"{name} is private: a server needs the public keys alone")
        if why := _is_for_something_else(jwk):
            ignored.append(f"{name} {why}")
        else:
            keys.append(_key(jwk, name))
    if not keys:
        raise BadKeys("; ".join(["has no key that verifies tokens", *ignored]))
    _check_kids([key.kid for key in keys])
    return PublicKeys(keys, ignored)


def _listed(raw: bytes) -> Sequence[Mapping[str, Any]]:
    try:
        listed = json.loads(raw)["keys"]
    except (ValueError, RecursionError):
        raise BadKeys("is not JSON") from None
    except (KeyError, TypeError):
        raise BadKeys("is no JWKS: it has no `keys`") from None
    if not isinstance(listed, list) or not all(isinstance(jwk, dict) for jwk in listed):
        raise BadKeys("is no JWKS: `keys` is no list of objects")
    return listed


def _is_for_something_else(jwk: Mapping[str, Any]) -> str:
    """Why a key is left out, or an empty text; providers list keys for encryption and for other algorithms too."""
    if jwk.get("use", "sig") != "sig":
        return "is not for signatures"
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return "is not for verifying"
    if jwk.get("kty") == "oct":
        return "is a secret, which only a file of its own may hold (HOLDFAST_AUTH_SECRET_FILE)"
    algorithm = _algorithm_of(jwk)
    if algorithm is None:
        return f"is of a kind that is not used here: kty {jwk.get('kty')!r}, crv {jwk.get('crv')!r}"
    if jwk.get("alg", algorithm) != algorithm:
        return f"is for {jwk['alg']!r}, which is not used here"
    return ""


def _algorithm_of(jwk: Mapping[str, Any]) -> str | None:
    kind, curve = jwk.get("kty"), jwk.get("crv")
    return next((name for (kty, crv), name in PUBLIC_ALGORITHMS.items() if kind == kty and crv in (None, curve)), None)


def _key(jwk: Mapping[str, Any], name: str) -> TokenKey:
    algorithm, kid = _algorithm_of(jwk), jwk.get("kid", "")
    if not isinstance(kid, str):
        raise BadKeys(f"{name} has a `kid` that is no text")
    assert algorithm is not None
    try:
        key = PyJWK(dict(jwk), algorithm).key
    except (PyJWTError, UnsupportedAlgorithm, KeyError, TypeError, ValueError) as error:
        raise BadKeys(f"{name} cannot be read: {error}") from None
    if algorithm == "RS256" and key.key_size < MIN_RSA_BITS:
        raise BadKeys(f"{name} has {key.key_size} bits, and an RSA key needs at least {MIN_RSA_BITS}")
    return TokenKey(kid, algorithm, key)


def _check_kids(kids: Sequence[str]) -> None:
    if len(kids) > 1 and "" in kids:
        raise BadKeys("has several keys, and one without a `kid`")
    if twice := next((kid for kid in kids if kids.count(kid) > 1), None):
        raise BadKeys(f"has two keys with the `kid` {twice!r}")
