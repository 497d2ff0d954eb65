from holdfast.inventory.v1 import reservation_pb2 as _reservation_pb2
from holdfast.inventory.v1 import sale_pb2 as _sale_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CommitBody(_message.Message):
    __slots__ = ("time_ms", "events")
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    time_ms: int
    events: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, time_ms: _Optional[int] = ..., events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("reservation", "sale_made")
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    SALE_MADE_FIELD_NUMBER: _ClassVar[int]
    reservation: ReservationChange
    sale_made: SaleMade
    def __init__(self, reservation: _Optional[_Union[ReservationChange, _Mapping]] = ..., sale_made: _Optional[_Union[SaleMade, _Mapping]] = ...) -> None: ...

class Claim(_message.Message):
    __slots__ = ("tenant", "sale_id", "reservation_id", "buyer_id", "lines")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    BUYER_ID_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    sale_id: str
    reservation_id: str
    buyer_id: str
    lines: _containers.RepeatedCompositeFieldContainer[_reservation_pb2.Line]
    def __init__(self, tenant: _Optional[str] = ..., sale_id: _Optional[str] = ..., reservation_id: _Optional[str] = ..., buyer_id: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[_reservation_pb2.Line, _Mapping]]] = ...) -> None: ...

class ReservationChange(_message.Message):
    __slots__ = ("claim", "previous_state", "state", "revision", "create_time_ms", "expire_time_ms", "created_epoch", "created_seq", "created_index", "note", "compensation_reason")
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_STATE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    CREATED_EPOCH_FIELD_NUMBER: _ClassVar[int]
    CREATED_SEQ_FIELD_NUMBER: _ClassVar[int]
    CREATED_INDEX_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    COMPENSATION_REASON_FIELD_NUMBER: _ClassVar[int]
    claim: Claim
    previous_state: _reservation_pb2.ReservationState
    state: _reservation_pb2.ReservationState
    revision: int
    create_time_ms: int
    expire_time_ms: int
    created_epoch: int
    created_seq: int
    created_index: int
    note: str
    compensation_reason: _reservation_pb2.CompensationReason
    def __init__(self, claim: _Optional[_Union[Claim, _Mapping]] = ..., previous_state: _Optional[_Union[_reservation_pb2.ReservationState, str]] = ..., state: _Optional[_Union[_reservation_pb2.ReservationState, str]] = ..., revision: _Optional[int] = ..., create_time_ms: _Optional[int] = ..., expire_time_ms: _Optional[int] = ..., created_epoch: _Optional[int] = ..., created_seq: _Optional[int] = ..., created_index: _Optional[int] = ..., note: _Optional[str] = ..., compensation_reason: _Optional[_Union[_reservation_pb2.CompensationReason, str]] = ...) -> None: ...

class SaleMade(_message.Message):
    __slots__ = ("tenant", "sale", "start_time_ms")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SALE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    sale: _sale_pb2.Sale
    start_time_ms: int
    def __init__(self, tenant: _Optional[str] = ..., sale: _Optional[_Union[_sale_pb2.Sale, _Mapping]] = ..., start_time_ms: _Optional[int] = ...) -> None: ...
