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
    __slots__ = ("reservation", "sale_made", "sale_changed", "stock_adjusted", "sale_left")
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    SALE_MADE_FIELD_NUMBER: _ClassVar[int]
    SALE_CHANGED_FIELD_NUMBER: _ClassVar[int]
    STOCK_ADJUSTED_FIELD_NUMBER: _ClassVar[int]
    SALE_LEFT_FIELD_NUMBER: _ClassVar[int]
    reservation: ReservationChange
    sale_made: SaleMade
    sale_changed: SaleChanged
    stock_adjusted: StockAdjusted
    sale_left: SaleLeft
    def __init__(self, reservation: _Optional[_Union[ReservationChange, _Mapping]] = ..., sale_made: _Optional[_Union[SaleMade, _Mapping]] = ..., sale_changed: _Optional[_Union[SaleChanged, _Mapping]] = ..., stock_adjusted: _Optional[_Union[StockAdjusted, _Mapping]] = ..., sale_left: _Optional[_Union[SaleLeft, _Mapping]] = ...) -> None: ...

class Claim(_message.Message):
    __slots__ = ("tenant", "sale_id", "reservation_id", "buyer_id", "lines", "asked_hold_ms", "reference")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    BUYER_ID_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    ASKED_HOLD_MS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    sale_id: str
    reservation_id: str
    buyer_id: str
    lines: _containers.RepeatedCompositeFieldContainer[_reservation_pb2.Line]
    asked_hold_ms: int
    reference: str
    def __init__(self, tenant: _Optional[str] = ..., sale_id: _Optional[str] = ..., reservation_id: _Optional[str] = ..., buyer_id: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[_reservation_pb2.Line, _Mapping]]] = ..., asked_hold_ms: _Optional[int] = ..., reference: _Optional[str] = ...) -> None: ...

class Units(_message.Message):
    __slots__ = ("sku", "claimed", "sold", "came_back")
    SKU_FIELD_NUMBER: _ClassVar[int]
    CLAIMED_FIELD_NUMBER: _ClassVar[int]
    SOLD_FIELD_NUMBER: _ClassVar[int]
    CAME_BACK_FIELD_NUMBER: _ClassVar[int]
    sku: str
    claimed: int
    sold: int
    came_back: int
    def __init__(self, sku: _Optional[str] = ..., claimed: _Optional[int] = ..., sold: _Optional[int] = ..., came_back: _Optional[int] = ...) -> None: ...

class ReservationChange(_message.Message):
    __slots__ = ("claim", "previous_state", "state", "revision", "create_time_ms", "expire_time_ms", "created_epoch", "created_seq", "created_index", "note", "compensation_reason", "before", "after", "discarded")
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
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    DISCARDED_FIELD_NUMBER: _ClassVar[int]
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
    before: _containers.RepeatedCompositeFieldContainer[Units]
    after: _containers.RepeatedCompositeFieldContainer[Units]
    discarded: bool
    def __init__(self, claim: _Optional[_Union[Claim, _Mapping]] = ..., previous_state: _Optional[_Union[_reservation_pb2.ReservationState, str]] = ..., state: _Optional[_Union[_reservation_pb2.ReservationState, str]] = ..., revision: _Optional[int] = ..., create_time_ms: _Optional[int] = ..., expire_time_ms: _Optional[int] = ..., created_epoch: _Optional[int] = ..., created_seq: _Optional[int] = ..., created_index: _Optional[int] = ..., note: _Optional[str] = ..., compensation_reason: _Optional[_Union[_reservation_pb2.CompensationReason, str]] = ..., before: _Optional[_Iterable[_Union[Units, _Mapping]]] = ..., after: _Optional[_Iterable[_Union[Units, _Mapping]]] = ..., discarded: _Optional[bool] = ...) -> None: ...

class SaleMade(_message.Message):
    __slots__ = ("tenant", "sale", "start_time_ms", "body")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SALE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    sale: _sale_pb2.Sale
    start_time_ms: int
    body: str
    def __init__(self, tenant: _Optional[str] = ..., sale: _Optional[_Union[_sale_pb2.Sale, _Mapping]] = ..., start_time_ms: _Optional[int] = ..., body: _Optional[str] = ...) -> None: ...

class SaleChanged(_message.Message):
    __slots__ = ("tenant", "sale_id", "title", "start_time_ms", "end_time_ms", "hold_ttl_ms", "max_hold_ttl_ms", "buyer_limit", "attempts_per_minute", "return_window_ms", "paused", "close_time_ms", "release_time_ms", "added", "reason", "actor")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    END_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    HOLD_TTL_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_HOLD_TTL_MS_FIELD_NUMBER: _ClassVar[int]
    BUYER_LIMIT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    RETURN_WINDOW_MS_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    CLOSE_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    RELEASE_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    ADDED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    sale_id: str
    title: str
    start_time_ms: int
    end_time_ms: int
    hold_ttl_ms: int
    max_hold_ttl_ms: int
    buyer_limit: int
    attempts_per_minute: int
    return_window_ms: int
    paused: bool
    close_time_ms: int
    release_time_ms: int
    added: _containers.RepeatedCompositeFieldContainer[_sale_pb2.Item]
    reason: str
    actor: str
    def __init__(self, tenant: _Optional[str] = ..., sale_id: _Optional[str] = ..., title: _Optional[str] = ..., start_time_ms: _Optional[int] = ..., end_time_ms: _Optional[int] = ..., hold_ttl_ms: _Optional[int] = ..., max_hold_ttl_ms: _Optional[int] = ..., buyer_limit: _Optional[int] = ..., attempts_per_minute: _Optional[int] = ..., return_window_ms: _Optional[int] = ..., paused: _Optional[bool] = ..., close_time_ms: _Optional[int] = ..., release_time_ms: _Optional[int] = ..., added: _Optional[_Iterable[_Union[_sale_pb2.Item, _Mapping]]] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ...) -> None: ...

class StockAdjusted(_message.Message):
    __slots__ = ("tenant", "sale_id", "adjustment_id", "sku", "delta", "new_total", "expected_total", "reason", "reference", "actor", "change", "total_after")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    ADJUSTMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    NEW_TOTAL_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_AFTER_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    sale_id: str
    adjustment_id: str
    sku: str
    delta: int
    new_total: int
    expected_total: int
    reason: str
    reference: str
    actor: str
    change: int
    total_after: int
    def __init__(self, tenant: _Optional[str] = ..., sale_id: _Optional[str] = ..., adjustment_id: _Optional[str] = ..., sku: _Optional[str] = ..., delta: _Optional[int] = ..., new_total: _Optional[int] = ..., expected_total: _Optional[int] = ..., reason: _Optional[str] = ..., reference: _Optional[str] = ..., actor: _Optional[str] = ..., change: _Optional[int] = ..., total_after: _Optional[int] = ...) -> None: ...

class SaleLeft(_message.Message):
    __slots__ = ("tenant", "sale_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    sale_id: str
    def __init__(self, tenant: _Optional[str] = ..., sale_id: _Optional[str] = ...) -> None: ...
