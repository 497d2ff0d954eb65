"""What the `holdfast` command finds wrong before any call: values, and variables of the environment."""

from pathlib import Path

import pytest
import trustme

from tests.unit.clients.cli.command import invoke, run
from tests.unit.clients.fake_inventory import FakeInventory

CREATE, SHOW = ("sale", "create", "lamps", "--item"), ("sale", "show", "lamps")


@pytest.mark.parametrize(
    "words",
    [
        pytest.param((*CREATE, f"lamp={10**20}"), id="units-beyond-64-bits"),
        pytest.param((*CREATE, f"lamp={'9' * 5000}"), id="more-digits-than-python-reads"),
        pytest.param((*CREATE, "lamp=1", "--limit", str(10**20)), id="limit-beyond-64-bits"),
        pytest.param((*CREATE, "lamp=1", "--attempts", str(2**31)), id="attempts-beyond-32-bits"),
        pytest.param((*CREATE, "lamp=1", "--attempts", str(-(2**31) - 1)), id="attempts-below-32-bits"),
        pytest.param((*CREATE, "lamp=1", "--hold", f"{10**15}d"), id="duration-beyond-the-calendar"),
        pytest.param((*CREATE, "lamp=1", "--hold", f"{'9' * 400}s"), id="duration-beyond-a-float"),
        pytest.param((*CREATE, "lamp=1", "--start", f"+{10**9 - 1}d"), id="moment-beyond-the-calendar"),
        pytest.param((*CREATE, "lamp=1", "--title", "lamp\udcff"), id="not-utf-8"),
        pytest.param((*SHOW, "--address", "127.0.0.1\udcff:1"), id="address-not-utf-8"),
        pytest.param((*SHOW, "--timeout", "nan"), id="timeout-not-a-number"),
        pytest.param((*SHOW, "--timeout", "inf"), id="timeout-without-end"),
        pytest.param(("reserve", "lamps"), id="option-missing"),
        pytest.param(("sale", "shut"), id="no-such-command"),
    ],
)
def test_an_impossible_value_is_one_line_and_exit_code_2(fake: FakeInventory, words: tuple[str, ...]) -> None:
    """It is bad usage, found before any call, and neither a page of traceback nor a box."""
    failed = run(fake, *words)

    [line] = failed.stderr.splitlines()
    assert line.startswith("holdfast: ")
    assert failed.exit_code == 2
    assert failed.stdout == ""
    assert not fake.asked


def test_a_value_that_is_none_of_those_there_are_is_told_in_plain_words(fake: FakeInventory) -> None:
    """A library's own name for such an error says nothing to an operator."""
    failed = run(fake, "token", "key", "key.pem", "--algorithm", "none")

    assert failed.stderr.startswith("holdfast: Invalid value for '--algorithm': 'none' is not one of ")


def test_an_address_of_the_environment_that_is_not_utf_8_is_one_line() -> None:
    """A variable may hold any byte too."""
    failed = invoke(SHOW, {"HOLDFAST_ADDRESS": "127.0.0.1\udcff:1"})

    assert "the address must be host:port" in failed.stderr
    assert failed.exit_code == 2


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("HOLDFAST_CA_FILE", "/nowhere/file", "/nowhere/file: No such file or directory"),
        ("HOLDFAST_CA_FILE", "/dev/null", "/dev/null: the file is empty"),
        ("HOLDFAST_CLIENT_CERT_FILE", "/dev/null", "a client certificate needs both cert_file and key_file"),
        ("HOLDFAST_TLS", "ture", "HOLDFAST_TLS: must be 1 or 0, and is 'ture'"),
        (
            "HOLDFAST_TOKEN_FILE",
            "/nowhere/file",
            "sale lamps: There is no token to send: FileNotFoundError: [Errno 2] No such file or directory:"
            " '/nowhere/file' [UNAUTHENTICATED]",
        ),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(fake: FakeInventory, variable: str, value: str, line: str) -> None:
    """Nothing is sent without the token, or without TLS."""
    failed = invoke(SHOW, {"HOLDFAST_ADDRESS": fake.address, variable: value})

    assert failed.stderr == f"holdfast: {line}\n"
    assert failed.exit_code == 2
    assert not fake.asked


def test_the_files_by_which_a_server_is_asked_for_nothing_are_named(tmp_path: Path) -> None:
    """Each may be the wrong one, and gRPC does not say which."""
    paths = dict(zip(("CA", "CLIENT_CERT", "CLIENT_KEY"), authority_and_pair(tmp_path), strict=True))
    variables = {f"HOLDFAST_{name}_FILE": str(path) for name, path in paths.items()}
    failed = invoke((*SHOW, "--address", "127.0.0.1:1", "--timeout", "0.1"), variables)

    assert failed.stderr.endswith(
        f"for this name and of an authority in {paths['CA']}, and that it takes {paths['CLIENT_CERT']}\n"
    )


def authority_and_pair(folder: Path) -> list[Path]:
    """Files of an authority, and of a certificate that it signed, with the key."""
    authority = trustme.CA()
    pair = authority.issue_cert("localhost")
    files = [folder / name for name in ("ca.pem", "cert.pem", "key.pem")]
    for file, blob in zip(files, (authority.cert_pem, pair.cert_chain_pems[0], pair.private_key_pem), strict=True):
        blob.write_to_path(str(file))
    return files


def test_a_server_that_is_asked_by_tls_for_nothing_is_named() -> None:
    """The advice to start a server would hide that TLS is what is wrong."""
    failed = invoke((*SHOW, "--address", "127.0.0.1:1", "--timeout", "0.1"), {"HOLDFAST_TLS": "1"})

    assert failed.stderr == (
        "holdfast: no server answers by TLS at 127.0.0.1:1: check that one runs there with TLS, that its certificate is"
        " for this name and of a public authority, since HOLDFAST_CA_FILE is not set, and that it asks for no"
        " certificate, since HOLDFAST_CLIENT_CERT_FILE is not set\n"
    )
