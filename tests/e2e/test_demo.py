"""`holdfast demo` in small: a whole sale with a crash in the middle, blocked buyers and holds that expire."""

import subprocess
import sys

import pytest

from tests.stacks import ENVIRONMENT

HOLDFAST = (sys.executable, "-m", "holdfast.cli")
DEMO_S = 240.0


@pytest.mark.timeout(DEMO_S + 60)
def test_the_demo_ends_with_a_clean_audit() -> None:
    """Also the small one has a crash, blocked buyers and expiring holds; a proxy for web pages is not used."""
    small = ("--units", "600", "--buyers", "100", "--blocked", "3")
    environment = {**ENVIRONMENT, "http_proxy": "http://127.0.0.1:1"}
    shown = subprocess.run(
        [*HOLDFAST, "demo", *small], env=environment, capture_output=True, text=True, timeout=DEMO_S, check=False
    )

    assert shown.returncode == 0, shown.stdout
    assert "ended by SIGKILL" in shown.stdout
    assert "nothing is oversold, lost or doubled" in shown.stdout
