"""What `holdfast up` says of the calls that its server takes."""

import pytest
from holdfast_embedded.up import what_calls_need


@pytest.mark.parametrize(
    ("names", "lines"),
    [
        ([], []),
        (["TLS_CERT_FILE", "TLS_KEY_FILE"], ["calls need TLS: set HOLDFAST_CA_FILE there"]),
        (
            ["TLS_CERT_FILE", "TLS_CLIENT_CA_FILE"],
            [
                "calls need TLS and a client certificate: set HOLDFAST_CA_FILE, HOLDFAST_CLIENT_CERT_FILE and"
                " HOLDFAST_CLIENT_KEY_FILE there"
            ],
        ),
        (["AUTH_JWKS_FILE"], ["calls need a token: set HOLDFAST_TOKEN_FILE there"]),
        (
            ["TLS_CERT_FILE", "AUTH_SECRET_FILE"],
            ["calls need TLS: set HOLDFAST_CA_FILE there", "calls need a token: set HOLDFAST_TOKEN_FILE there"],
        ),
    ],
)
def test_it_names_the_variables_of_callers(names: list[str], lines: list[str]) -> None:
    """The call that it suggests would fail without them."""
    assert list(what_calls_need({f"HOLDFAST_{name}": "/file" for name in names})) == lines
