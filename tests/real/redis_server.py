"""Debian's Redis in the place of Valkey, with the same settings."""

from collections.abc import Mapping
from pathlib import Path

from holdfast_embedded.valkey import Valkey

REDIS = Path("/usr/bin/redis-server")  # by its absolute path, for a virtualenv may have another one on PATH


class RedisServer(Valkey):
    """One Redis with its append-only file in `data_dir`, run like Valkey. `settings` override those of Valkey."""

    def __init__(self, data_dir: Path, port: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(data_dir, port)
        self._overrides = dict(settings or {})

    def _program(self) -> Path:
        return REDIS

    def _settings(self) -> dict[str, str]:
        return super()._settings() | self._overrides
