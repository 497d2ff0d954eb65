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
    __slots__ = ("sku", "total", "available", "held", "sold")
    SKU_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    SOLD_FIELD_NUMBER: _ClassVar[int]
    sku: str
    total: int
    available: int
    held: int
    sold: int
    def __init__(self, sku: _Optional[str] = ..., total: _Optional[int] = ..., available: _Optional[int] = ..., held: _Optional[int] = ..., sold: _Optional[int] = ...) -> None: ...

class Sale(_message.Message):
    __slots__ = ("sale_id", "title", "start_time", "end_time", "hold_ttl", "max_hold_ttl", "buyer_limit", "attempts_per_minute", "state", "items", "etag", "create_time", "update_time")
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
    def __init__(self, sale_id: _Optional[str] = ..., title: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., hold_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_hold_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., buyer_limit: _Optional[int] = ..., attempts_per_minute: _Optional[int] = ..., state: _Optional[_Union[SaleState, str]] = ..., items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
