"""What `holdfast up` says of the calls that its server takes, and of topics that it cannot make."""

from pathlib import Path

import pytest
from holdfast_embedded.stack import Stack, StackFailed
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


def test_topics_of_an_external_kafka_are_its_owners_to_make(tmp_path: Path) -> None:
    """It may need more copies than one; the message says how many partitions."""
    stack = Stack(tmp_path, {"HOLDFAST_KAFKA_BROKERS": "kafka.example:9092"}, print)

    with pytest.raises(StackFailed, match="lamps-changelog: create it in your Kafka, with 16 partitions"):
        stack.create_topics("lamps-changelog")
