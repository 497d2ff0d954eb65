"""Verifies JWTs by the keys of the key files."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jwt
from jwt.exceptions import (
    DecodeError,
    InvalidAudienceError,
    InvalidIssuerError,
    InvalidSignatureError,
    InvalidTokenError,
    MissingRequiredClaimError,
    PyJWTError,
)

from inventory_service.adapters.tokens.key_files import KeyFiles
from inventory_service.domain.caller import Caller
from inventory_service.domain.token_claims import TokenRules, caller_from_claims
from inventory_service.domain.tokens import Problem, TokenRejected


class JwtVerifier:
    """Believes a token that is signed by one of the keys, and says what it must."""

    def __init__(
        self,
        keys: KeyFiles,
        rules: TokenRules,
        *,
        issuer: str = "",
        audience: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """An empty issuer or audience: any will do."""
        self.keys = keys.files
        self._keys = keys
        self._rules = rules
        self._issuer = issuer or None
        self._audience = audience or None
        self._clock = clock

    def verify(self, token: str) -> Caller:
        """Whom a token names; `TokenRejected` if it is not valid."""
        with _rejections():
            header = jwt.get_unverified_header(token)
        if "crit" in header:
            raise TokenRejected(Problem.BAD_HEADER)
        key = self._keys.find(header.get("alg"), header.get("kid"))
        with _rejections():
            claims = self._claims(token, key.key, key.algorithm)
        return caller_from_claims(claims, self._rules, self._clock())

    def _claims(self, token: str, key: Any, algorithm: str) -> Mapping[str, Any]:
        """The claims of a token whose signature, `iss` and `aud` are good; all else is for `caller_from_claims`."""
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            issuer=self._issuer,
            audience=self._audience,
            options={
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "verify_sub": False,
                "verify_jti": False,
                "verify_iss": self._issuer is not None,
                "verify_aud": self._audience is not None,
            },
        )


@contextmanager
def _rejections() -> Iterator[None]:
    """Say in Holdfast's words what PyJWT finds wrong."""
    try:
        yield
    except InvalidSignatureError:
        raise TokenRejected(Problem.BAD_SIGNATURE) from None
    except MissingRequiredClaimError as error:
        raise TokenRejected(Problem.MISSING_CLAIM, error.claim) from None
    except InvalidIssuerError:
        raise TokenRejected(Problem.BAD_CLAIM, "iss") from None
    except InvalidAudienceError:
        raise TokenRejected(Problem.BAD_CLAIM, "aud") from None
    except DecodeError:
        raise TokenRejected(Problem.UNREADABLE) from None
    except InvalidTokenError:  # of what is left: `crit`, or a `kid` that is no text
        raise TokenRejected(Problem.BAD_HEADER) from None
    except (PyJWTError, ValueError, RecursionError):
        raise TokenRejected(Problem.UNREADABLE) from None
