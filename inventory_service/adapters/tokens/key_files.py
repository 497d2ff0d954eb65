"""Keeps the keys of the key files, and finds the one that a token is to be verified by."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import structlog

from inventory_service.adapters.reloaded_files import ReloadedFiles, SettingsFile
from inventory_service.adapters.tokens.keys import (
    HS256,
    PUBLIC_ALGORITHMS,
    BadKeys,
    PublicKeys,
    TokenKey,
    public_keys,
    secret_key,
)
from inventory_service.domain.tokens import Problem, TokenRejected

LOOK_AGAIN_S = 1.0  # between two looks at the files for the sake of a `kid` that is unknown
Parsed = TypeVar("Parsed")
log = structlog.get_logger()


class _Keys(NamedTuple):
    """What the files hold at one time."""

    secret: TokenKey | None
    public: Sequence[TokenKey]


class KeyFiles:
    """The keys of a secret file, of a JWKS file, or of both; they are read anew when one of them has changed."""

    def __init__(
        self,
        secret_file: SettingsFile | None,
        jwks_file: SettingsFile | None,
        show_ok: Callable[[str, bool], None] = lambda _name, _ok: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """UnusableFile if one of them cannot be used."""
        self._secret_file = secret_file
        self._jwks_file = jwks_file
        self._clock = clock
        self._looked_again_s = float("-inf")
        files = [file for file in (secret_file, jwks_file) if file]
        self.files = ReloadedFiles("token_keys", files, self._read, show_ok)
        self.run = self.files.run  # looks at the files each second

    def find(self, algorithm: object, kid: object) -> TokenKey:
        """The key for a token with these values in its header; `TokenRejected` if there is none."""
        keys = self.files.current
        if algorithm == HS256 and keys.secret:
            return keys.secret
        if algorithm not in PUBLIC_ALGORITHMS.values() or not keys.public:
            raise TokenRejected(Problem.WRONG_ALGORITHM)
        key = self._find_public(kid)
        if key.algorithm != algorithm:
            raise TokenRejected(Problem.WRONG_ALGORITHM)
        return key

    def _find_public(self, kid: object) -> TokenKey:
        if (key := _named(self.files.current.public, kid)) is not None:
            return key
        if kid is None:
            raise TokenRejected(Problem.NO_KID)
        if self._may_look_again():  # it may have been added a moment ago
            self.files.check_at_once()
            if (key := _named(self.files.current.public, kid)) is not None:
                return key
        raise TokenRejected(Problem.UNKNOWN_KEY)

    def _may_look_again(self) -> bool:
        """At most once a second, whatever callers send."""
        now_s = self._clock()
        if now_s - self._looked_again_s < LOOK_AGAIN_S:
            return False
        self._looked_again_s = now_s
        return True

    def _read(self) -> _Keys:
        secret = _parsed(self._secret_file, secret_key) if self._secret_file else None
        public = _parsed(self._jwks_file, public_keys) if self._jwks_file else PublicKeys((), ())
        log.info("token_keys", keys=[str(key) for key in (secret, *public.keys) if key])
        if public.ignored:
            log.info("token_keys_ignored", keys=public.ignored)
        return _Keys(secret, public.keys)


def _named(keys: Sequence[TokenKey], kid: object) -> TokenKey | None:
    """The key of this name; the only one also for a token that names none, or if it has no name itself."""
    if len(keys) == 1 and (kid is None or not keys[0].kid):
        return keys[0]
    return next((key for key in keys if key.kid == kid), None)


def _parsed(file: SettingsFile, parse: Callable[[bytes], Parsed]) -> Parsed:
    """What a file holds; UnusableFile if that is of no use."""
    try:
        return parse(file.read())
    except BadKeys as error:
        raise file.unusable(str(error)) from None
