"""The demo's stack is its own, whatever the environment says of callers."""

from holdfast_embedded.demo.command import own_environment


def test_the_demo_asks_its_own_buyers_for_nothing() -> None:
    """They call in plaintext and without a token; all other settings are as the environment has them."""
    others = {"HOLDFAST_REDIS_URL": "redis://127.0.0.1", "HOLDFAST_TLS": "1", "PATH": "/bin"}

    assert own_environment({**others, "HOLDFAST_TLS_CERT_FILE": "/c", "HOLDFAST_AUTH_JWKS_FILE": "/j"}) == others
