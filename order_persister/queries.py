"""Loads queries.sql: every statement under its name, as text for asyncpg."""

import re
from importlib.resources import files
from types import SimpleNamespace

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_queries() -> SimpleNamespace:
    """One attribute a statement; a name that stands twice is a mistake."""
    _, *parts = _NAME.split(files("order_persister").joinpath("queries.sql").read_text(encoding="utf-8"))
    names, texts = parts[0::2], parts[1::2]
    assert len(set(names)) == len(names), "queries.sql names a statement twice"
    return SimpleNamespace(**{name: text.strip() for name, text in zip(names, texts, strict=True)})
