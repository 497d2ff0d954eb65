"""What the demo's stack is set to in a shell that has settings for servers of its own."""

from holdfast_embedded.demo.command import demo_environment

from inventory_service.settings import TLS_FILES, TOKENS

ASKED = {f"HOLDFAST_{name.upper()}": "x" for name in (*TLS_FILES, *TOKENS, "rate_per_s", "rate_burst")}
OTHERS = {"HOLDFAST_SHARDS": "4", "HOLDFAST_TLS": "0", "PATH": "/usr/bin"}


def test_the_stack_asks_no_token_certificate_or_rate_of_the_demos_buyers() -> None:
    """Each of its thousand buyers is a caller without a token, all from one address."""
    assert demo_environment({**ASKED, **OTHERS}) == OTHERS
