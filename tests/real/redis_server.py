"""Run Debian's Redis in the place of Valkey, with the same settings."""

from collections.abc import Mapping
from pathlib import Path

from holdfast_embedded.valkey import Valkey

REDIS = Path("/usr/bin/redis-server")  # by its whole name, for a virtualenv may bring another one


class RedisServer(Valkey):
    """One Redis with its append-only file in `data_dir`. Started, asked and stopped like Valkey, whose place it takes.

    `settings` are Redis' own and stand above our choices.
    """

    def __init__(self, data_dir: Path, port: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(data_dir, port)
        self._more = dict(settings or {})

    def _program(self) -> Path:
        return REDIS

    def _settings(self) -> dict[str, str]:
        return super()._settings() | self._more
