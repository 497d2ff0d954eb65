"""The installer of the real servers leaves a machine that has them alone, and says what to do where it cannot help."""

import os
import shutil

import pytest
from holdfast_embedded.server import ServerFailed

from tests.real import install


def test_nothing_is_missing_after_it_was_run() -> None:
    """It runs before all of these tests, and so a second time is quick and needs no rights."""
    assert install.missing_packages() == []


def test_a_program_that_is_not_here_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its package, for that is what can be installed."""
    monkeypatch.setattr(install, "REDIS", "/nowhere/redis-server")

    assert install.missing_packages() == ["redis-server"]


def test_a_program_that_is_too_old_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts need Redis 7."""
    monkeypatch.setattr(install, "OLDEST_REDIS", 99)

    assert install.missing_packages() == ["redis-server"]


def test_who_may_not_install_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither root nor sudo: a person must do it, and should not have to guess what."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "sudo" else f"/usr/bin/{name}")

    with pytest.raises(ServerFailed, match=r"no sudo here: install redis-server, maven by hand"):
        install.install(["redis-server", "maven"])


def test_another_system_than_debian_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without apt-get nothing is tried."""
    monkeypatch.setattr(shutil, "which", lambda name: None)

    with pytest.raises(ServerFailed, match=r"no apt-get here: install maven by hand"):
        install.install(["maven"])
