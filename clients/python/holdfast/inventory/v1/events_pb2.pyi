import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from holdfast.inventory.v1 import reservation_pb2 as _reservation_pb2
from holdfast.inventory.v1 import sale_pb2 as _sale_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CommitRun(_message.Message):
    __slots__ = ("shard", "epoch", "first_seq", "commits")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    COMMITS_FIELD_NUMBER: _ClassVar[int]
    shard: int
    epoch: int
    first_seq: int
    commits: _containers.RepeatedCompositeFieldContainer[Commit]
    def __init__(self, shard: _Optional[int] = ..., epoch: _Optional[int] = ..., first_seq: _Optional[int] = ..., commits: _Optional[_Iterable[_Union[Commit, _Mapping]]] = ...) -> None: ...

class Commit(_message.Message):
    __slots__ = ("payload", "hash")
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    hash: bytes
    def __init__(self, payload: _Optional[bytes] = ..., hash: _Optional[bytes] = ...) -> None: ...

class ReservationFact(_message.Message):
    __slots__ = ("tenant", "position", "time", "previous_state", "reservation", "moved")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_STATE_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    MOVED_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    position: _reservation_pb2.Position
    time: _timestamp_pb2.Timestamp
    previous_state: _reservation_pb2.ReservationState
    reservation: _reservation_pb2.Reservation
    moved: _containers.RepeatedCompositeFieldContainer[UnitsMoved]
    def __init__(self, tenant: _Optional[str] = ..., position: _Optional[_Union[_reservation_pb2.Position, _Mapping]] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., previous_state: _Optional[_Union[_reservation_pb2.ReservationState, str]] = ..., reservation: _Optional[_Union[_reservation_pb2.Reservation, _Mapping]] = ..., moved: _Optional[_Iterable[_Union[UnitsMoved, _Mapping]]] = ...) -> None: ...

class UnitsMoved(_message.Message):
    __slots__ = ("sku", "held", "sold", "total")
    SKU_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    SOLD_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    sku: str
    held: int
    sold: int
    total: int
    def __init__(self, sku: _Optional[str] = ..., held: _Optional[int] = ..., sold: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class SaleFact(_message.Message):
    __slots__ = ("tenant", "position", "time", "sale_id", "made", "settings", "adjusted", "left")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    MADE_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    ADJUSTED_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    position: _reservation_pb2.Position
    time: _timestamp_pb2.Timestamp
    sale_id: str
    made: _sale_pb2.Sale
    settings: SaleSettingsChange
    adjusted: _sale_pb2.Adjustment
    left: SaleDeparture
    def __init__(self, tenant: _Optional[str] = ..., position: _Optional[_Union[_reservation_pb2.Position, _Mapping]] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sale_id: _Optional[str] = ..., made: _Optional[_Union[_sale_pb2.Sale, _Mapping]] = ..., settings: _Optional[_Union[SaleSettingsChange, _Mapping]] = ..., adjusted: _Optional[_Union[_sale_pb2.Adjustment, _Mapping]] = ..., left: _Optional[_Union[SaleDeparture, _Mapping]] = ...) -> None: ...

class SaleSettingsChange(_message.Message):
    __slots__ = ("sale", "release_time", "reason", "actor")
    SALE_FIELD_NUMBER: _ClassVar[int]
    RELEASE_TIME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    sale: _sale_pb2.Sale
    release_time: _timestamp_pb2.Timestamp
    reason: str
    actor: str
    def __init__(self, sale: _Optional[_Union[_sale_pb2.Sale, _Mapping]] = ..., release_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ...) -> None: ...

class SaleDeparture(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LedgerProgress(_message.Message):
    __slots__ = ("shard", "epoch", "seq", "settled_seq", "resend_from_seq", "hash", "frozen_reason", "settled_epoch")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    SETTLED_SEQ_FIELD_NUMBER: _ClassVar[int]
    RESEND_FROM_SEQ_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    FROZEN_REASON_FIELD_NUMBER: _ClassVar[int]
    SETTLED_EPOCH_FIELD_NUMBER: _ClassVar[int]
    shard: int
    epoch: int
    seq: int
    settled_seq: int
    resend_from_seq: int
    hash: bytes
    frozen_reason: str
    settled_epoch: int
    def __init__(self, shard: _Optional[int] = ..., epoch: _Optional[int] = ..., seq: _Optional[int] = ..., settled_seq: _Optional[int] = ..., resend_from_seq: _Optional[int] = ..., hash: _Optional[bytes] = ..., frozen_reason: _Optional[str] = ..., settled_epoch: _Optional[int] = ...) -> None: ...

class Compensation(_message.Message):
    __slots__ = ("compensation_id", "tenant", "sale_id", "reservation_id", "created", "reason", "detail")
    COMPENSATION_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    compensation_id: str
    tenant: str
    sale_id: str
    reservation_id: str
    created: _reservation_pb2.Position
    reason: _reservation_pb2.CompensationReason
    detail: str
    def __init__(self, compensation_id: _Optional[str] = ..., tenant: _Optional[str] = ..., sale_id: _Optional[str] = ..., reservation_id: _Optional[str] = ..., created: _Optional[_Union[_reservation_pb2.Position, _Mapping]] = ..., reason: _Optional[_Union[_reservation_pb2.CompensationReason, str]] = ..., detail: _Optional[str] = ...) -> None: ...
