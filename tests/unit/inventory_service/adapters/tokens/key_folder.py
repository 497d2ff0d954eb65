"""A folder with key files, and the keys as a server keeps them."""

from pathlib import Path

from inventory_service.adapters.reloaded_files import SettingsFile
from inventory_service.adapters.tokens.key_files import KeyFiles
from inventory_service.domain.tokens import TokenRejected
from tests.tokens import Key, jwks, write


class KeyFolder:
    """Files that the test writes; the clock stands until the test moves it."""

    def __init__(self, folder: Path) -> None:
        self.now_s = 100.0
        self.shown: list[bool] = []
        self.secret, self.public = folder / "secret", folder / "jwks.json"

    def publish(self, *keys: Key) -> None:
        """Have the JWKS file hold these keys."""
        write(self.public, jwks(*keys))

    def read(self) -> KeyFiles:
        """The keys of those files that are there."""
        secret = SettingsFile("HOLDFAST_AUTH_SECRET_FILE", str(self.secret)) if self.secret.exists() else None
        public = SettingsFile("HOLDFAST_AUTH_JWKS_FILE", str(self.public)) if self.public.exists() else None
        return KeyFiles(secret, public, lambda name, ok: self.shown.append(ok), lambda: self.now_s)


def found(keys: KeyFiles, algorithm: object, kid: object = None) -> str:
    """The key for a token with such a header, or why there is none."""
    try:
        return str(keys.find(algorithm, kid))
    except TokenRejected as rejected:
        return str(rejected)
