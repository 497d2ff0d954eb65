"""The installer of the real servers changes nothing where they are installed, and names the packages if it fails."""

import os
import shutil

import pytest
from holdfast_embedded.server import ServerFailed

from tests.real import install


def test_nothing_is_missing_after_an_install() -> None:
    """The installer runs before all of these tests; a second run is quick and needs no rights."""
    assert install.missing_packages() == []


def test_a_program_that_is_not_installed_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reported by the name of its package, which is what apt installs."""
    monkeypatch.setattr(install, "REDIS", "/nowhere/redis-server")

    assert install.missing_packages() == ["redis-server"]


def test_a_program_that_is_too_old_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts need Redis 7."""
    monkeypatch.setattr(install, "OLDEST_REDIS", 99)

    assert install.missing_packages() == ["redis-server"]


def test_without_root_and_sudo_the_error_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """An administrator has to install them by hand, and should not have to guess which."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "sudo" else f"/usr/bin/{name}")

    with pytest.raises(ServerFailed, match=r"no sudo here: install redis-server, maven by hand"):
        install.install(["redis-server", "maven"])


def test_without_apt_the_error_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without apt-get the installer tries nothing."""
    monkeypatch.setattr(shutil, "which", lambda name: None)

    with pytest.raises(ServerFailed, match=r"no apt-get here: install maven by hand"):
        install.install(["maven"])
