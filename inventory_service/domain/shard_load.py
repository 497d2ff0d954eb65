"""What a shard is loaded with from the ledger: its sales, the stored reservations, and how far the ledger is."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from holdfast.inventory.v1.commit_pb2 import Claim, CommitBody, ReservationChange
from holdfast.inventory.v1.reservation_pb2 import Line

from inventory_service.domain.events import has_usual_units, units_of_change
from inventory_service.domain.fingerprints import terms_of
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.reservation import HELD, Reservation, Units
from inventory_service.domain.shards import CommitId
from inventory_service.domain.units import usual_units

# In Redis, with the place of a hold among the ends of holds, and the allocator's share.
BYTES_PER_RESERVATION, BYTES_PER_BUYER = 400, 112


class CannotLoad(Exception):
    """The shard cannot be loaded as the ledger has it; the message says why, and what to do."""


class StoredSettings(NamedTuple):
    """A sale's stored settings, in the order in which lua/lib/settings.lua stores and returns them."""

    start_ms: int
    end_ms: int  # -1: none
    hold_ttl_ms: int
    max_hold_ttl_ms: int
    buyer_limit: int
    attempts_per_minute: int
    return_window_ms: int
    paused: int
    close_ms: int  # 0: not closed
    release_ms: int  # 0: its holds were not released
    epoch: int  # with seq and index: the position of the latest change of the settings
    seq: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which is not used here
    create_ms: int
    update_ms: int
    title: str
    fingerprint: str
    release_reason: str


class LoadedItem(NamedTuple):
    """The stock of one item, refused orders included."""

    sku: str
    available: int
    held: int
    sold: int
    buyer_limit: int  # 0: none


class LoadedBuyer(NamedTuple):
    """The units that a buyer holds and owns in a sale, or of one of its limited items, refused orders included."""

    name: str  # the buyer, or `name_of_limited`
    held: int
    sold: int


class LoadedAdjustment(NamedTuple):
    """An adjustment of a sale's stock, field by field as Redis stores it, behind its id."""

    adjustment_id: str
    body: str
    change: int
    total_after: int
    reason: str
    actor: str
    create_ms: int
    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which is not used here


class LoadedRecord(NamedTuple):
    """A stored reservation, field by field as Redis stores it, behind its id."""

    reservation_id: str
    state: int
    revision: int
    create_ms: int
    update_ms: int
    expire_ms: int
    created_epoch: int
    created_seq: int
    created_index: int
    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which is not used here
    reason: int
    fingerprint: str
    note: str
    claim: bytes
    units: str  # '': those that state and fingerprint imply, and then Redis stores none


class SalePart(NamedTuple):
    """A part of a sale's state, in any order with its other parts."""

    sale: SaleKey
    settings: StoredSettings | None = None
    items: Sequence[LoadedItem] = ()
    buyers: Sequence[LoadedBuyer] = ()
    records: Sequence[LoadedRecord] = ()
    release_ms: int = 0  # with records: when the sale's holds were released; 0: they were not
    adjustments: Sequence[LoadedAdjustment] = ()  # in their order

    @property
    def size(self) -> int:
        """How many values are written, about."""
        return len(self.items) + len(self.buyers) + len(self.records) + len(self.adjustments)


class LoadSize(NamedTuple):
    """How many reservations and buyers of a shard Redis has, or is to have."""

    reservations: int
    buyers: int

    @property
    def values(self) -> int:
        """Of both together."""
        return self.reservations + self.buyers

    @property
    def bytes(self) -> int:
        """What they take in Redis, about."""
        return self.reservations * BYTES_PER_RESERVATION + self.buyers * BYTES_PER_BUYER


class HoldRow(NamedTuple):
    """A hold that the ledger recorded; `lines` are "sku=quantity sku=quantity ..", sorted by SKU, as asked.

    `units` are "sku=claimed:0:0 .." likewise where a change of the hold made them others than asked, else None.
    """

    tenant: str
    sale_id: str
    reservation_id: str
    buyer_id: str
    revision: int
    create_ms: int
    update_ms: int
    expire_ms: int
    created_epoch: int
    created_seq: int
    created_index: int
    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which is not used here
    note: str
    asked_hold_ms: int
    reference: str
    lines: str
    units: str | None


def record_from_hold(row: HoldRow) -> LoadedRecord:
    """Make the record of a hold anew; this runs once for each hold, of which there may be millions."""
    tenant, sale_id, reservation_id, buyer_id, *numbers, note, asked_hold_ms, reference, lines, units = row
    claim = (
        _claim_of_sale(tenant, sale_id)
        + _text_field(0x1A, reservation_id.encode())
        + _text_field(0x22, buyer_id.encode())
        + _claim_of_lines(lines)
        + (_ASKED_HOLD.pack(0x31, asked_hold_ms) if asked_hold_ms else b"")
        + _text_field(0x3A, reference.encode())
    )
    fingerprint = _fingerprint(buyer_id, asked_hold_ms, lines, reference)
    return LoadedRecord(reservation_id, HELD, *numbers, 0, fingerprint, note, claim, units or "")  # type: ignore[arg-type,call-arg]


def final_records(payload: bytes, commit: CommitId) -> Iterator[tuple[SaleKey, LoadedRecord]]:
    """The reservations that a commit made or moved to another state than HELD, as they were after it.

    `CannotLoad` if a later version wrote what this one does not know.
    """
    body = _known_body(payload, commit)
    for index, event in enumerate(body.events):
        if event.HasField("reservation") and event.reservation.state != HELD:
            yield record_from_change(event.reservation, commit, index, body.time_ms)


def record_at(payload: bytes, commit: CommitId, index: int) -> tuple[SaleKey, LoadedRecord]:
    """The reservation that the event at `index` of a commit changed, as it was after it; or `CannotLoad`."""
    body = _known_body(payload, commit)
    return record_from_change(body.events[index].reservation, commit, index, body.time_ms)


def record_from_change(
    change: ReservationChange, commit: CommitId, index: int, time_ms: int
) -> tuple[SaleKey, LoadedRecord]:
    """The record as the script stored it that made this change."""
    claim = change.claim
    record = LoadedRecord(
        reservation_id=claim.reservation_id,
        state=change.state,
        revision=change.revision,
        create_ms=change.create_time_ms,
        update_ms=time_ms,
        expire_ms=change.expire_time_ms,
        created_epoch=change.created_epoch,
        created_seq=change.created_seq,
        created_index=change.created_index,
        epoch=commit.epoch,
        seq=commit.seq,
        index=index,
        reason=change.compensation_reason,
        fingerprint=_fingerprint_of(claim),
        note=change.note,
        claim=claim.SerializeToString(),
        units="" if has_usual_units(change) else text_from_units(units_of_change(change)[1]),
    )
    return SaleKey(claim.tenant, claim.sale_id), record


def record_of(reservation: Reservation, fingerprint: str) -> LoadedRecord:
    """The record of a reservation, and of the Reserve that made it."""
    terms, usual = terms_of(fingerprint), usual_units(terms_of(fingerprint).lines, reservation.state)
    _, created_epoch, created_seq, created_index = reservation.created
    _, epoch, seq, index = reservation.position
    claim = Claim(
        tenant=reservation.sale.tenant,
        sale_id=reservation.sale.sale_id,
        reservation_id=reservation.reservation_id,
        buyer_id=terms.buyer_id,
        lines=[Line(sku=sku, quantity=quantity) for sku, quantity in terms.lines],
        asked_hold_ms=terms.hold_ttl_ms or 0,
        reference=terms.reference,
    )
    return LoadedRecord(
        reservation_id=reservation.reservation_id,
        state=reservation.state,
        revision=reservation.revision,
        create_ms=reservation.create_time_ms,
        update_ms=reservation.update_time_ms,
        expire_ms=reservation.expire_time_ms,
        created_epoch=created_epoch,
        created_seq=created_seq,
        created_index=created_index,
        epoch=epoch,
        seq=seq,
        index=index,
        reason=reservation.compensation_reason,
        fingerprint=fingerprint,
        note=reservation.note,
        claim=claim.SerializeToString(),
        units="" if reservation.lines == usual else text_from_units(reservation.lines),
    )


def text_from_units(lines: Iterable[Units]) -> str:
    """As `text_from_units` in lua/lib/record.lua."""
    return " ".join([f"{sku}={claimed}:{sold}:{came_back}" for sku, claimed, sold, came_back in lines])


def _known_body(payload: bytes, commit: CommitId) -> CommitBody:
    """A record without a field that its change has would be another one, and this version would serve it."""
    body = CommitBody.FromString(payload)
    size = body.ByteSize()
    body.DiscardUnknownFields()
    if body.ByteSize() != size:
        raise CannotLoad(f"a newer Holdfast wrote commit {commit}: load the shard with that one")
    return body


def _fingerprint_of(claim: Claim) -> str:
    if not claim.buyer_id:  # the id was spent
        return ""
    lines = " ".join([f"{line.sku}={line.quantity}" for line in claim.lines])
    return _fingerprint(claim.buyer_id, claim.asked_hold_ms, lines, claim.reference)


def _fingerprint(buyer_id: str, asked_hold_ms: int, lines: str, reference: str) -> str:
    """As `reserve_fingerprint` makes it of the request."""
    return f"{buyer_id} {asked_hold_ms or '-'} {lines}{reference and f' #{reference}'}"


# A claim is made of pieces in the order of its fields: protobuf's encodings of parts of a message, one after the other,
# are that of the whole, and a message object for each hold would take three times as long.

_ASKED_HOLD = struct.Struct("<BQ")


@lru_cache(maxsize=1024)
def _claim_of_sale(tenant: str, sale_id: str) -> bytes:
    return Claim(tenant=tenant, sale_id=sale_id).SerializeToString()


@lru_cache(maxsize=4096)
def _claim_of_lines(lines: str) -> bytes:
    claim = Claim()
    for line in lines.split():
        sku, _, quantity = line.partition("=")
        claim.lines.add(sku=sku, quantity=int(quantity))
    return claim.SerializeToString()


def _text_field(tag: int, text: bytes) -> bytes:
    """A field of protobuf's wire type 2 of at most 16,383 bytes; an empty one is left out."""
    size = len(text)
    if not size:
        return b""
    return (bytes((tag, size)) if size < 128 else bytes((tag, size & 127 | 128, size >> 7))) + text
