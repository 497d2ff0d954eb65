"""The statements of queries.sql by name, as text for asyncpg."""

from dataclasses import dataclass
from functools import cache

from holdfast_runtime.queries import load_queries


@dataclass(frozen=True, slots=True)
class Queries:
    """One field a statement, in the order of the file, which describes each."""

    block_buyer: str
    unblock_buyer: str
    raise_blocked_version: str
    blocked_version: str
    blocked_page: str
    revoke: str
    drop_revocations: str
    revocations_page: str
    archived_reservation: str
    latest_dead_letter: str
    dead_letter: str
    begin_replay: str
    undo_replay: str
    sale_exists: str
    archived_sale: str
    adjustment: str
    shard_row: str
    shard_rows: str
    insert_shard: str
    insert_unread_shard: str
    begin_epoch: str
    insert_epoch: str
    has_commit: str
    insert_orphans: str
    orphans: str
    epoch_bases: str
    recent_losses: str
    quarantined: str
    skip_deleted: str
    clear_frozen_reason: str
    sales_of_shard: str
    sale_has_left: str
    avoid_nested_loops: str
    item_sums: str
    item_balances: str
    reservations: str
    dead_letters: str
    count_holds: str
    journal_after: str
    plan_for_load: str
    load_base: str
    journal_epochs: str
    commit_head: str
    load_size: str
    count_buyers: str
    loaded_sales: str
    loaded_items: str
    loaded_holds: str
    loaded_refusals: str
    loaded_buyers: str
    loaded_buyers_of_items: str
    loaded_adjustments: str
    server_settings: str
    server_state: str
    latest_migration: str
    unlogged_tables: str
    roles_with_asynchronous_commit: str
    server_time: str


@cache
def ledger_queries() -> Queries:
    """Every statement of the file, which is read once."""
    return load_queries("inventory_service.adapters.ledger", Queries)
