"""The statements of queries.sql by name, as text for asyncpg."""

from dataclasses import dataclass

from holdfast_runtime.queries import load_queries


@dataclass(frozen=True, slots=True)
class Queries:
    """One field a statement, in the order of the file, which describes each."""

    lock_shard: str
    shard_rows: str
    facts_row: str
    migration_numbers: str
    shard_counts: str
    raise_watermark: str
    set_reading: str
    freeze: str
    restart_reading: str
    journal_hashes: str
    insert_epoch: str
    insert_journal: str
    journal_after: str
    quarantine: str
    insert_orphans: str
    insert_sales: str
    update_settings: str
    insert_sale_changes: str
    insert_items: str
    insert_adjustments: str
    set_left_times: str
    add_to_items: str
    insert_reservations: str
    reservations_of: str
    update_reservations: str
    mark_refused_confirms: str
    insert_lines: str
    update_lines: str
    write_added_lines: str
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


def ledger_queries() -> Queries:
    """Every statement of the file."""
    return load_queries("order_persister", Queries)
