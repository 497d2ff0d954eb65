"""Loads a file of named SQL statements."""

import re
from dataclasses import fields
from importlib.resources import files
from typing import Any, TypeVar

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)

Kind = TypeVar("Kind", bound=Any)


def load_queries(package: str, kind: type[Kind], file: str = "queries.sql") -> Kind:
    """Read a package's file into a dataclass, whose fields must be the names in the file, in the same order."""
    _, *parts = _NAME.split(files(package).joinpath(file).read_text(encoding="utf-8"))
    names, texts = parts[0::2], parts[1::2]
    assert names == [field.name for field in fields(kind)], f"{file} and {kind.__name__} name different statements"
    loaded: Kind = kind(*(text.strip() for text in texts))
    return loaded
