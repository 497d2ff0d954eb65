"""Keeps the keys of the key files, and reads a file anew once it has changed."""

import asyncio
import os
import time
from collections.abc import Callable
from typing import NamedTuple

import structlog

from inventory_service.adapters.tokens.keys import HS256, BadKeys, KeySet, Parse, TokenKey, public_keys, secret_key
from inventory_service.domain.tokens import Problem, TokenRejected

MAX_FILE_BYTES = 1024 * 1024
LOOK_S = 1.0  # between two looks at the files, and between two for the sake of a `kid` that is unknown
log = structlog.get_logger()


class BadKeyFile(Exception):
    """A key file that cannot be read or used; the message is one line that names its setting and the file."""


class _Mark(NamedTuple):
    """By which a file is known to be the one that was read."""

    modified_ns: int
    inode: int
    size: int


class KeyFile:
    """One file and the keys that were in it at the last good look."""

    def __init__(self, setting: str, path: str, parse: Parse) -> None:
        self.path = path
        self._name = f"{setting}: {path}"
        self.keys = KeySet((), ())
        self._parse = parse
        self._mark: _Mark | None = None
        self._raw = b""

    def look(self) -> bool:
        """Read the file if it is another one by now: whether the keys have changed. BadKeyFile keeps those of before."""
        try:
            found = _read(self.path, self._mark)
            if found is None:
                return False
            mark, raw = found
            keys = self._parse(raw)
        except OSError as error:
            raise BadKeyFile(f"{self._name} cannot be read: {error.strerror or error}") from None
        except BadKeys as error:
            raise BadKeyFile(f"{self._name} {error}") from None
        has_changed = raw != self._raw
        self._mark, self._raw, self.keys = mark, raw, keys
        return has_changed


class TokenKeys:
    """The keys of all files. `generation` rises whenever one of them is another one."""

    def __init__(
        self,
        secret_file: str,
        jwks_file: str,
        failed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """An empty path: there is no such file. `failed` is called at each look at a file that cannot be used."""
        self.generation = 0
        self._secret = KeyFile("HOLDFAST_AUTH_SECRET_FILE", secret_file, secret_key) if secret_file else None
        self._public = KeyFile("HOLDFAST_AUTH_JWKS_FILE", jwks_file, public_keys) if jwks_file else None
        self._files = [file for file in (self._secret, self._public) if file]
        self._failed = failed
        self._clock = clock
        self._looked_s = float("-inf")  # for the sake of an unknown `kid`
        self._problems: dict[str, str] = {}  # by file, each of which is logged once

    def load(self) -> None:
        """Read all files at the start; BadKeyFile if one of them cannot be used."""
        for file in self._files:
            file.look()

    def look(self) -> None:
        """Read the files that have changed. One that cannot be used is counted, and its keys of before stay."""
        for file in self._files:
            self._look_at(file)

    async def watch(self) -> None:
        """Look at the files each second; ends by cancellation."""
        for file in self._files:
            _log_keys(file)
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    def find(self, algorithm: object, kid: object) -> TokenKey:
        """The key that a token is to be verified by; `TokenRejected` if there is none."""
        if algorithm == HS256 and self._secret:
            return self._secret.keys.keys[0]
        if algorithm == HS256 or not self._public:
            raise TokenRejected(Problem.WRONG_ALGORITHM)
        key = self._find_public(self._public, kid)
        if key.algorithm != algorithm:
            raise TokenRejected(Problem.WRONG_ALGORITHM)
        return key

    def _find_public(self, file: KeyFile, kid: object) -> TokenKey:
        if (key := _key_named(file.keys, kid)) is not None:
            return key
        if kid is None:
            raise TokenRejected(Problem.NO_KID)
        if self._may_look_again():  # it may have been added a moment ago
            self._look_at(file)
            if (key := _key_named(file.keys, kid)) is not None:
                return key
        raise TokenRejected(Problem.UNKNOWN_KEY)

    def _may_look_again(self) -> bool:
        """At most once a second, whatever callers send."""
        now_s = self._clock()
        if now_s - self._looked_s < LOOK_S:
            return False
        self._looked_s = now_s
        return True

    def _look_at(self, file: KeyFile) -> None:
        try:
            if file.look():
                self.generation += 1
                _log_keys(file)
            if self._problems.pop(file.path, None):
                log.info("token_keys_usable_again", file=file.path)
        except BadKeyFile as error:
            self._failed()
            if self._problems.get(file.path) != str(error):
                self._problems[file.path] = str(error)
                log.error("token_keys_unusable", problem=str(error), meaning="the keys of before stay in use")


def _log_keys(file: KeyFile) -> None:
    log.info("token_keys", file=file.path, keys=file.keys.names)
    if file.keys.ignored:
        log.warning("token_keys_ignored", file=file.path, keys=file.keys.ignored)


def _key_named(found: KeySet, kid: object) -> TokenKey | None:
    """The key of this name; a token that names none, or a key without a name, means the only one."""
    if len(found.keys) == 1 and (kid is None or not found.keys[0].kid):
        return found.keys[0]
    return next((key for key in found.keys if key.kid == kid), None)


def _read(path: str, known: _Mark | None) -> tuple[_Mark, bytes] | None:
    """A file's contents, or None if it is the one that is known."""
    with open(path, "rb", opener=_open_at_once) as file:
        status = os.fstat(file.fileno())
        mark = _Mark(status.st_mtime_ns, status.st_ino, status.st_size)
        if mark == known:
            return None
        raw = file.read(MAX_FILE_BYTES + 1)
    if len(raw) > MAX_FILE_BYTES:
        raise BadKeys(f"has more than {MAX_FILE_BYTES} bytes")
    return mark, raw


def _open_at_once(path: str, flags: int) -> int:
    """A pipe has no end that could be waited for."""
    return os.open(path, flags | os.O_NONBLOCK)
