import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from holdfast.inventory.v1 import reservation_pb2 as _reservation_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SaleState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SALE_STATE_UNSPECIFIED: _ClassVar[SaleState]
    SALE_STATE_SCHEDULED: _ClassVar[SaleState]
    SALE_STATE_OPEN: _ClassVar[SaleState]
    SALE_STATE_PAUSED: _ClassVar[SaleState]
    SALE_STATE_ENDED: _ClassVar[SaleState]
    SALE_STATE_CLOSED: _ClassVar[SaleState]
    SALE_STATE_ARCHIVED: _ClassVar[SaleState]
SALE_STATE_UNSPECIFIED: SaleState
SALE_STATE_SCHEDULED: SaleState
SALE_STATE_OPEN: SaleState
SALE_STATE_PAUSED: SaleState
SALE_STATE_ENDED: SaleState
SALE_STATE_CLOSED: SaleState
SALE_STATE_ARCHIVED: SaleState

class Item(_message.Message):
    __slots__ = ("sku", "total", "available", "held", "sold", "buyer_limit")
    SKU_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    SOLD_FIELD_NUMBER: _ClassVar[int]
    BUYER_LIMIT_FIELD_NUMBER: _ClassVar[int]
    sku: str
    total: int
    available: int
    held: int
    sold: int
    buyer_limit: int
    def __init__(self, sku: _Optional[str] = ..., total: _Optional[int] = ..., available: _Optional[int] = ..., held: _Optional[int] = ..., sold: _Optional[int] = ..., buyer_limit: _Optional[int] = ...) -> None: ...

class Sale(_message.Message):
    __slots__ = ("sale_id", "title", "start_time", "end_time", "hold_ttl", "max_hold_ttl", "buyer_limit", "attempts_per_minute", "state", "items", "etag", "create_time", "update_time", "paused", "close_time", "return_window")
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    HOLD_TTL_FIELD_NUMBER: _ClassVar[int]
    MAX_HOLD_TTL_FIELD_NUMBER: _ClassVar[int]
    BUYER_LIMIT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    CLOSE_TIME_FIELD_NUMBER: _ClassVar[int]
    RETURN_WINDOW_FIELD_NUMBER: _ClassVar[int]
    sale_id: str
    title: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    hold_ttl: _duration_pb2.Duration
    max_hold_ttl: _duration_pb2.Duration
    buyer_limit: int
    attempts_per_minute: int
    state: SaleState
    items: _containers.RepeatedCompositeFieldContainer[Item]
    etag: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    paused: bool
    close_time: _timestamp_pb2.Timestamp
    return_window: _duration_pb2.Duration
    def __init__(self, sale_id: _Optional[str] = ..., title: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., hold_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_hold_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., buyer_limit: _Optional[int] = ..., attempts_per_minute: _Optional[int] = ..., state: _Optional[_Union[SaleState, str]] = ..., items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., paused: _Optional[bool] = ..., close_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., return_window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Adjustment(_message.Message):
    __slots__ = ("adjustment_id", "sale_id", "sku", "delta", "total_after", "reason", "reference", "actor", "create_time", "position")
    ADJUSTMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    TOTAL_AFTER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    adjustment_id: str
    sale_id: str
    sku: str
    delta: int
    total_after: int
    reason: str
    reference: str
    actor: str
    create_time: _timestamp_pb2.Timestamp
    position: _reservation_pb2.Position
    def __init__(self, adjustment_id: _Optional[str] = ..., sale_id: _Optional[str] = ..., sku: _Optional[str] = ..., delta: _Optional[int] = ..., total_after: _Optional[int] = ..., reason: _Optional[str] = ..., reference: _Optional[str] = ..., actor: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., position: _Optional[_Union[_reservation_pb2.Position, _Mapping]] = ...) -> None: ...
