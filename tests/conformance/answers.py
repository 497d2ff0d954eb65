"""Answers in a form in which two servers can be compared: without what is of one server alone, such as its epochs.

Moments stay where a request named them, a hold's end is told from its beginning, and etags by the order in which they
were told. The positions of changes must then agree within a server: one revision has one position.
"""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf import text_format
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2
from holdfast.inventory.v1.inventory_service_pb2 import GetReservationRequest, ListReservationsRequest
from holdfast.inventory.v1.reservation_pb2 import (
    LEDGER_STATE_PENDING,
    LEDGER_STATE_RECORDED,
    Position,
    Reservation,
)
from holdfast.inventory.v1.sale_pb2 import Adjustment, Sale

from tests.conformance.servers import SHARDS, ServerUnderTest, ask
from tests.stacks import shard_of
from tests.waiting import eventually

DETAILS = (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo, Reservation)
SOME_MOMENT = Timestamp(seconds=1)
SOME_TIME = Duration(seconds=1)
# How long something takes depends on when it was asked.
PASSING = ("retry_after", "until_start", "until_end")
LETTER_ID = re.compile(r"\b(\d+)-\d+-\d+-(\d+)\b")


class Answers:
    """Asks one server, and keeps what it told."""

    def __init__(self, server: ServerUnderTest, prefix: str) -> None:
        """Other tests may use the server at other times; of lists, only what begins with `prefix` is looked at."""
        self.server = server
        self._prefix = prefix
        self._named: set[int] = set()  # moments that requests named, in ns
        self._etags: dict[tuple[str, str], str] = {}
        self._passing: tuple[str, ...] = PASSING
        self._positions: dict[tuple[str, str, int], tuple[int, int, int]] = {}
        self.etags: dict[str, str] = {}  # the latest of each sale
        self.positions: dict[str, Position] = {}  # of the latest change that was told of each sale
        self._unrecorded: set[str] = set()  # sales that may have changed since the ledger was waited for
        self.page_tokens: dict[str, str] = {}  # of each list
        self.letters: list[str] = []  # ids of the dead letters that were listed last

    async def to(self, method: str, *requests: Message | bytes) -> list[str]:
        """What the server answers, in lines."""
        for request in requests:
            if isinstance(request, Message):
                self._named |= {moment.ToNanoseconds() for moment in _below(request, Timestamp)}
        raw = [one if isinstance(one, bytes) else one.SerializeToString() for one in requests]
        self._passing = PASSING if not method.startswith("Watch") else (*PASSING, "retry_delay")
        try:
            answers = await ask(self.server, method, *raw)
        except grpc.aio.AioRpcError as error:
            return [f"{method} {error.code().name}", *self._status(error)]
        if "Stream" in method:
            answers.sort(key=lambda answer: answer.correlation_id)
        for answer in answers:
            self._keep(method, answer)
        return [f"{method} OK", *(line for answer in answers for line in self._spelled(answer).splitlines())]

    def _status(self, error: grpc.aio.AioRpcError) -> Iterator[str]:
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin" and isinstance(value, bytes):
                status = status_pb2.Status.FromString(value)
                yield f"{status.code} {status.message}"
                for detail in status.details:
                    yield from self._detail(detail)

    def _detail(self, packed: Packed) -> Iterator[str]:
        kind = next(kind for kind in DETAILS if packed.type_url.endswith(f"/{kind.DESCRIPTOR.full_name}"))
        detail = kind()
        packed.Unpack(detail)
        yield f"{kind.__name__}:"
        yield from self._spelled(detail).splitlines()

    def _keep(self, method: str, answer: Any) -> None:
        """Remember what later requests name."""
        for sale in _below(answer, Sale):
            if sale.etag:
                self.etags[sale.sale_id] = sale.etag
                self._changed(sale.sale_id, _changed_at(sale))
        for reservation in _below(answer, Reservation):
            self._check_position(reservation)
            self._changed(reservation.sale_id, reservation.position)
        for adjustment in _below(answer, Adjustment):
            self._changed(adjustment.sale_id, adjustment.position)
        if "next_page_token" in answer.DESCRIPTOR.fields_by_name:
            self.page_tokens[method] = answer.next_page_token
        if method == "ListDeadLetters":
            self.letters = [letter.dead_letter_id for letter in answer.dead_letters]

    def _changed(self, sale_id: str, position: Position) -> None:
        latest = self.positions.get(sale_id, Position())
        if (position.epoch, position.seq) > (latest.epoch, latest.seq):
            self.positions[sale_id] = position
            self._unrecorded.add(sale_id)

    async def judged_by_the_ledger(self, sale_id: str, reservation_id: str) -> None:
        """Wait until the ledger has taken an order, or has refused it and its units are back."""
        request = GetReservationRequest(sale_id=sale_id, reservation_id=reservation_id).SerializeToString()

        async def is_judged() -> bool:
            """The reservation is not PENDING."""
            try:
                [answer] = await ask(self.server, "GetReservation", request)
            except grpc.aio.AioRpcError as error:
                return error.code() is grpc.StatusCode.NOT_FOUND
            self._keep("GetReservation", answer)
            return bool(answer.reservation.ledger_state != LEDGER_STATE_PENDING)

        await eventually(is_judged)

    async def recorded(self) -> None:
        """Wait until the ledger has all changes that were told."""
        await asyncio.gather(*(self._recorded(sale_id) for sale_id in self._unrecorded))
        self._unrecorded.clear()

    async def _recorded(self, sale_id: str) -> None:
        at_least = self.positions[sale_id]
        request = ListReservationsRequest(sale_id=sale_id, page_size=1, at_least=at_least)
        await ask(self.server, "ListReservations", request.SerializeToString())

    def _check_position(self, told: Reservation) -> None:
        name = told.sale_id, told.reservation_id, told.revision
        where = told.position.epoch, told.position.seq, told.position.index
        assert self._positions.setdefault(name, where) == where, f"{name} is told at two positions"

    def _spelled(self, message: Message) -> str:
        copy: Any = type(message)()
        copy.CopyFrom(message)
        self._drop_others(copy)
        self._normalise(copy)
        return LETTER_ID.sub(r"\1-epoch-seq-\2", text_format.MessageToString(copy))

    def _drop_others(self, answer: Any) -> None:
        """Lists of everything also have what other tests left."""
        for field, name in (("sales", "sale_id"), ("blocked_buyers", "buyer_id")):
            if field in answer.DESCRIPTOR.fields_by_name:
                listed = getattr(answer, field)
                own = [one for one in listed if getattr(one, name).startswith(self._prefix)]
                if len(own) < len(listed):
                    answer.ClearField("next_page_token")
                    del listed[:]
                    listed.extend(own)

    def _normalise(self, message: Any) -> None:
        if isinstance(message, Reservation):
            _tell_the_end_from_the_beginning(message)
        for field, value in message.ListFields():
            if field.message_type is not None:
                is_map = field.message_type.GetOptions().map_entry
                for below in [] if is_map else value if field.is_repeated else [value]:
                    self._normalise_field(field.name, below)
            elif field.name == "etag":
                message.etag = self._etags.setdefault(
                    (message.sale_id, message.etag), f"etag {sum(of == message.sale_id for of, _ in self._etags)}"
                )
            elif field.name == "next_page_token":
                message.next_page_token = "a token"
            elif field.name == "ledger_state" and value == LEDGER_STATE_PENDING:
                message.ledger_state = LEDGER_STATE_RECORDED
        if "ledger_lag" in message.DESCRIPTOR.fields_by_name:
            message.ClearField("ledger_lag")

    def _normalise_field(self, name: str, message: Any) -> None:
        if isinstance(message, Timestamp):
            if message.ToNanoseconds() not in self._named:
                message.CopyFrom(SOME_MOMENT)
        elif isinstance(message, Duration):
            if name in self._passing:
                message.CopyFrom(SOME_TIME)
        elif isinstance(message, Position):
            message.epoch, message.seq, message.index = 1, 1, 0
        else:
            self._normalise(message)


def _changed_at(sale: Sale) -> Position:
    """Where a sale's settings were changed last: its etag says so."""
    epoch, seq, index = map(int, sale.etag.split("-"))
    return Position(shard=shard_of(sale.sale_id, SHARDS), epoch=epoch, seq=seq, index=index)


def _tell_the_end_from_the_beginning(reservation: Reservation) -> None:
    if reservation.HasField("expire_time"):
        lives_ns = reservation.expire_time.ToNanoseconds() - reservation.create_time.ToNanoseconds()
        reservation.note += f" [lives for {lives_ns // 1_000_000} ms]"
    if reservation.ledger_state == LEDGER_STATE_PENDING:
        reservation.ledger_state = LEDGER_STATE_RECORDED


def _below(message: Any, kind: type[Any]) -> Iterator[Any]:
    """All messages of a kind in a message."""
    if isinstance(message, kind):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for below in value if field.is_repeated else [value]:
            yield from _below(below, kind)
