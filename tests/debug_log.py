"""Has a module log at every level: the level that an earlier test of the process has set stays otherwise."""

from types import ModuleType

import pytest
import structlog


def log_everything(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    """For `capture_logs`, until the test ends."""
    every_level = structlog.make_filtering_bound_logger("debug")
    monkeypatch.setattr(module, "log", structlog.wrap_logger(None, wrapper_class=every_level))
