"""Makes texts storable that people wrote."""


def storable(text: str) -> str:
    """The text without NUL, which Postgres rejects: no note or reason may refuse an order or freeze a shard."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
