"""Asks the ledger whether each commit was applied once: from the journal's bytes, and none of the product's code."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

import asyncpg
from holdfast.inventory.v1.commit_pb2 import CommitBody

JOURNAL = "select shard, epoch, seq, hash, payload from journal order by shard, epoch, seq"
BOOKED = "select shard, epoch, seq, index from ledger_entry"

Place = tuple[int, int, int, int]  # shard, epoch, seq, index


async def not_applied_once(db: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    """Whatever was applied twice, out of order, or not at all, in a sentence; none if each commit was applied once."""
    journal = await db.fetch(JOURNAL)
    return [
        *(fault for _, commits in groupby(journal, lambda row: row["shard"]) for fault in broken_chain(list(commits))),
        *unequal(booked_by(journal), Counter(tuple(row) for row in await db.fetch(BOOKED))),
    ]


def broken_chain(commits: Sequence[asyncpg.Record]) -> Iterator[str]:
    """One shard's commits: without a gap in any epoch, each with the hash that follows from the one before."""
    previous, epoch, seq = "", 0, 0
    for row in commits:
        expected = seq + 1 if row["epoch"] == epoch else 1
        if row["seq"] != expected:
            yield f"shard {row['shard']}: commit {row['epoch']}-{row['seq']} stands where {expected} should"
        if row["hash"] != hashlib.sha1(previous.encode() + row["payload"]).hexdigest():
            yield f"shard {row['shard']}: commit {row['epoch']}-{row['seq']} does not follow from the one before it"
        previous, epoch, seq = row["hash"], row["epoch"], row["seq"]


def booked_by(journal: Sequence[asyncpg.Record]) -> Counter[Place]:
    """How many transfers each making of a reservation or a sale books: one a line."""
    lines: Counter[Place] = Counter()
    for row in journal:
        for index, event in enumerate(CommitBody.FromString(row["payload"]).events):
            place = (row["shard"], row["epoch"], row["seq"], index)
            if event.HasField("sale_made"):
                lines[place] = len(event.sale_made.sale.items)
            elif not event.reservation.previous_state:
                lines[place] = len(event.reservation.claim.lines)
    return lines


def unequal(made: Counter[Place], booked: Counter[Place]) -> Iterator[str]:
    """Makings that were not booked line by line. What comes after a making may book nothing: a refused order's does."""
    for place, lines in made.items():
        if booked[place] != lines:
            yield f"what was made at {place} was booked {booked[place]} times, and has {lines} lines"
