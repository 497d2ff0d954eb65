"""Loads queries.sql: every statement under its name, as text for asyncpg."""

import re
from dataclasses import dataclass, fields
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Queries:
    """One field a statement, in the order of the file, which describes each."""

    lock_shard: str
    shard_rows: str
    migration_numbers: str
    shard_counts: str
    use_indexes_only: str
    raise_watermark: str
    freeze: str
    journal_hashes: str
    insert_journal: str
    journal_after: str
    quarantine: str
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
    open_dead_letters: str
    dead_letters: str
    insert_dead_letters: str
    update_dead_letters: str
    insert_compensations: str
    mark_compensations_done: str
    due_compensations: str
    open_compensations: str
    raise_facts_position: str


def load_queries() -> Queries:
    """Read the file; its names and the fields of `Queries` are the same, in the same order."""
    _, *parts = _NAME.split(files("order_persister").joinpath("queries.sql").read_text(encoding="utf-8"))
    names, texts = parts[0::2], parts[1::2]
    assert names == [field.name for field in fields(Queries)], "queries.sql and Queries name different statements"
    return Queries(*(text.strip() for text in texts))
