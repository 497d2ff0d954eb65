import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReservationState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESERVATION_STATE_UNSPECIFIED: _ClassVar[ReservationState]
    RESERVATION_STATE_HELD: _ClassVar[ReservationState]
    RESERVATION_STATE_CONFIRMED: _ClassVar[ReservationState]
    RESERVATION_STATE_RELEASED: _ClassVar[ReservationState]
    RESERVATION_STATE_EXPIRED: _ClassVar[ReservationState]
    RESERVATION_STATE_COMPENSATED: _ClassVar[ReservationState]
    RESERVATION_STATE_RETURNED: _ClassVar[ReservationState]

class LedgerState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEDGER_STATE_UNSPECIFIED: _ClassVar[LedgerState]
    LEDGER_STATE_PENDING: _ClassVar[LedgerState]
    LEDGER_STATE_RECORDED: _ClassVar[LedgerState]
    LEDGER_STATE_REFUSED: _ClassVar[LedgerState]

class CompensationReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMPENSATION_REASON_UNSPECIFIED: _ClassVar[CompensationReason]
    COMPENSATION_REASON_BUYER_BLOCKED: _ClassVar[CompensationReason]
    COMPENSATION_REASON_ID_REUSED: _ClassVar[CompensationReason]
    COMPENSATION_REASON_CONSTRAINT_VIOLATED: _ClassVar[CompensationReason]
    COMPENSATION_REASON_UNREADABLE: _ClassVar[CompensationReason]

class RejectionReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REJECTION_REASON_UNSPECIFIED: _ClassVar[RejectionReason]
    REJECTION_REASON_SOLD_OUT: _ClassVar[RejectionReason]
    REJECTION_REASON_INSUFFICIENT_STOCK: _ClassVar[RejectionReason]
    REJECTION_REASON_BUYER_LIMIT: _ClassVar[RejectionReason]
    REJECTION_REASON_SALE_NOT_STARTED: _ClassVar[RejectionReason]
    REJECTION_REASON_SALE_PAUSED: _ClassVar[RejectionReason]
    REJECTION_REASON_SALE_ENDED: _ClassVar[RejectionReason]
    REJECTION_REASON_ATTEMPT_LIMIT: _ClassVar[RejectionReason]
    REJECTION_REASON_RESERVATION_ENDED: _ClassVar[RejectionReason]
    REJECTION_REASON_BUYER_BLOCKED: _ClassVar[RejectionReason]
    REJECTION_REASON_ITEM_LIMIT: _ClassVar[RejectionReason]
RESERVATION_STATE_UNSPECIFIED: ReservationState
RESERVATION_STATE_HELD: ReservationState
RESERVATION_STATE_CONFIRMED: ReservationState
RESERVATION_STATE_RELEASED: ReservationState
RESERVATION_STATE_EXPIRED: ReservationState
RESERVATION_STATE_COMPENSATED: ReservationState
RESERVATION_STATE_RETURNED: ReservationState
LEDGER_STATE_UNSPECIFIED: LedgerState
LEDGER_STATE_PENDING: LedgerState
LEDGER_STATE_RECORDED: LedgerState
LEDGER_STATE_REFUSED: LedgerState
COMPENSATION_REASON_UNSPECIFIED: CompensationReason
COMPENSATION_REASON_BUYER_BLOCKED: CompensationReason
COMPENSATION_REASON_ID_REUSED: CompensationReason
COMPENSATION_REASON_CONSTRAINT_VIOLATED: CompensationReason
COMPENSATION_REASON_UNREADABLE: CompensationReason
REJECTION_REASON_UNSPECIFIED: RejectionReason
REJECTION_REASON_SOLD_OUT: RejectionReason
REJECTION_REASON_INSUFFICIENT_STOCK: RejectionReason
REJECTION_REASON_BUYER_LIMIT: RejectionReason
REJECTION_REASON_SALE_NOT_STARTED: RejectionReason
REJECTION_REASON_SALE_PAUSED: RejectionReason
REJECTION_REASON_SALE_ENDED: RejectionReason
REJECTION_REASON_ATTEMPT_LIMIT: RejectionReason
REJECTION_REASON_RESERVATION_ENDED: RejectionReason
REJECTION_REASON_BUYER_BLOCKED: RejectionReason
REJECTION_REASON_ITEM_LIMIT: RejectionReason

class Line(_message.Message):
    __slots__ = ("sku", "quantity")
    SKU_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    sku: str
    quantity: int
    def __init__(self, sku: _Optional[str] = ..., quantity: _Optional[int] = ...) -> None: ...

class ReservationLine(_message.Message):
    __slots__ = ("sku", "quantity", "confirmed_quantity", "returned_quantity")
    SKU_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    RETURNED_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    sku: str
    quantity: int
    confirmed_quantity: int
    returned_quantity: int
    def __init__(self, sku: _Optional[str] = ..., quantity: _Optional[int] = ..., confirmed_quantity: _Optional[int] = ..., returned_quantity: _Optional[int] = ...) -> None: ...

class Position(_message.Message):
    __slots__ = ("shard", "epoch", "seq", "index")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    shard: int
    epoch: int
    seq: int
    index: int
    def __init__(self, shard: _Optional[int] = ..., epoch: _Optional[int] = ..., seq: _Optional[int] = ..., index: _Optional[int] = ...) -> None: ...

class Reservation(_message.Message):
    __slots__ = ("sale_id", "reservation_id", "buyer_id", "lines", "state", "revision", "create_time", "update_time", "expire_time", "position", "ledger_state", "compensation_reason", "note", "reference")
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    BUYER_ID_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    LEDGER_STATE_FIELD_NUMBER: _ClassVar[int]
    COMPENSATION_REASON_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    sale_id: str
    reservation_id: str
    buyer_id: str
    lines: _containers.RepeatedCompositeFieldContainer[ReservationLine]
    state: ReservationState
    revision: int
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    position: Position
    ledger_state: LedgerState
    compensation_reason: CompensationReason
    note: str
    reference: str
    def __init__(self, sale_id: _Optional[str] = ..., reservation_id: _Optional[str] = ..., buyer_id: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[ReservationLine, _Mapping]]] = ..., state: _Optional[_Union[ReservationState, str]] = ..., revision: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., position: _Optional[_Union[Position, _Mapping]] = ..., ledger_state: _Optional[_Union[LedgerState, str]] = ..., compensation_reason: _Optional[_Union[CompensationReason, str]] = ..., note: _Optional[str] = ..., reference: _Optional[str] = ...) -> None: ...

class Shortage(_message.Message):
    __slots__ = ("sku", "requested", "available", "held")
    SKU_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    sku: str
    requested: int
    available: int
    held: int
    def __init__(self, sku: _Optional[str] = ..., requested: _Optional[int] = ..., available: _Optional[int] = ..., held: _Optional[int] = ...) -> None: ...

class Rejection(_message.Message):
    __slots__ = ("reason", "shortages", "buyer_remaining", "retry_after", "as_of", "ended", "limited_sku")
    REASON_FIELD_NUMBER: _ClassVar[int]
    SHORTAGES_FIELD_NUMBER: _ClassVar[int]
    BUYER_REMAINING_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    LIMITED_SKU_FIELD_NUMBER: _ClassVar[int]
    reason: RejectionReason
    shortages: _containers.RepeatedCompositeFieldContainer[Shortage]
    buyer_remaining: int
    retry_after: _duration_pb2.Duration
    as_of: Position
    ended: Reservation
    limited_sku: str
    def __init__(self, reason: _Optional[_Union[RejectionReason, str]] = ..., shortages: _Optional[_Iterable[_Union[Shortage, _Mapping]]] = ..., buyer_remaining: _Optional[int] = ..., retry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., as_of: _Optional[_Union[Position, _Mapping]] = ..., ended: _Optional[_Union[Reservation, _Mapping]] = ..., limited_sku: _Optional[str] = ...) -> None: ...
