"""Checks that the ledger applied each commit once: from the journal's bytes, and without the product's code."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import asyncpg
from holdfast.inventory.v1.commit_pb2 import CommitBody

JOURNAL = "select shard, epoch, seq, hash, payload from journal order by shard, epoch, seq"
ENTRIES = "select shard, epoch, seq, index from ledger_entry"

Position = tuple[int, int, int, int]  # shard, epoch, seq, index


async def not_applied_once(db: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    """Return a sentence for each commit that was applied twice, out of order, or not at all."""
    journal = await db.fetch(JOURNAL)
    return [
        *(
            violation
            for _, commits in groupby(journal, lambda row: row["shard"])
            for violation in broken_chain([dict(commit) for commit in commits])
        ),
        *missing_entries(expected_entries(journal), Counter(tuple(row) for row in await db.fetch(ENTRIES))),
    ]


def broken_chain(commits: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One shard's commits: without a gap in any epoch, each with the hash that follows from the one before."""
    previous, epoch, seq = "", 0, 0
    for row in commits:
        expected = seq + 1 if row["epoch"] == epoch else 1
        if row["seq"] != expected:
            yield f"shard {row['shard']}: commit {row['epoch']}-{row['seq']} is where {expected} should be"
        if row["hash"] != hashlib.sha1(previous.encode() + row["payload"]).hexdigest():
            yield f"shard {row['shard']}: commit {row['epoch']}-{row['seq']} does not follow from the one before it"
        previous, epoch, seq = row["hash"], row["epoch"], row["seq"]


def expected_entries(journal: Sequence[asyncpg.Record]) -> Counter[Position]:
    """The number of entries that each creation of a reservation or a sale makes: one a line."""
    lines: Counter[Position] = Counter()
    for row in journal:
        for index, event in enumerate(CommitBody.FromString(row["payload"]).events):
            position = (row["shard"], row["epoch"], row["seq"], index)
            if event.HasField("sale_made"):
                lines[position] = len(event.sale_made.sale.items)
            elif not event.reservation.previous_state:
                lines[position] = len(event.reservation.claim.lines)
    return lines


def missing_entries(expected: Counter[Position], entries: Counter[Position]) -> Iterator[str]:
    """Creations with another number of entries than lines. A later event may make none: that of a refused order."""
    for position, lines in expected.items():
        if entries[position] != lines:
            yield f"the creation at {position} has {entries[position]} entries and {lines} lines"
