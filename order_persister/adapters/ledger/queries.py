"""Loads queries.sql: every statement under its name, as text for asyncpg."""

import re
from dataclasses import dataclass, fields
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Queries:
    """One field a statement, in the order of the file, which says what each does."""

    lock_row: str
    rows: str
    migrations_run: str
    shard_counts: str
    index_lookups_only: str
    raise_watermark: str
    freeze: str
    hashes: str
    insert_journal: str
    journal_after: str
    set_aside: str
    insert_sale: str
    insert_items: str
    add_to_items: str
    insert_reservations: str
    update_reservations: str
    mark_refused_confirms: str
    insert_lines: str
    update_line_quantities: str
    insert_entries: str
    blocked_buyers: str
    open_letters: str
    letters: str
    insert_letters: str
    move_letters: str
    insert_compensations: str
    end_compensations: str
    due_compensations: str
    open_compensations: str
    raise_facts_mark: str


def load_queries() -> Queries:
    """Read the file; what it names and what `Queries` has are the same, each once."""
    _, *parts = _NAME.split(files("order_persister").joinpath("queries.sql").read_text(encoding="utf-8"))
    names, texts = parts[0::2], parts[1::2]
    assert names == [field.name for field in fields(Queries)], "queries.sql and Queries name different statements"
    return Queries(*(text.strip() for text in texts))
