"""The statements of queries.sql by name, as text for asyncpg."""

from dataclasses import dataclass

from holdfast_runtime.queries import load_queries


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


def ledger_queries() -> Queries:
    """Every statement of the file."""
    return load_queries("order_persister", Queries)
