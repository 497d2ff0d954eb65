import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from holdfast.inventory.v1 import reservation_pb2 as _reservation_pb2
from holdfast.inventory.v1 import sale_pb2 as _sale_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReserveRequest(_message.Message):
    __slots__ = ("sale_id", "reservation_id", "buyer_id", "lines", "hold_ttl", "reference")
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    BUYER_ID_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    HOLD_TTL_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    sale_id: str
    reservation_id: str
    buyer_id: str
    lines: _containers.RepeatedCompositeFieldContainer[_reservation_pb2.Line]
    hold_ttl: _duration_pb2.Duration
    reference: str
    def __init__(self, sale_id: _Optional[str] = ..., reservation_id: _Optional[str] = ..., buyer_id: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[_reservation_pb2.Line, _Mapping]]] = ..., hold_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., reference: _Optional[str] = ...) -> None: ...

class ReserveResponse(_message.Message):
    __slots__ = ("reservation", "rejection", "replayed", "read_time")
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    REJECTION_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    READ_TIME_FIELD_NUMBER: _ClassVar[int]
    reservation: _reservation_pb2.Reservation
    rejection: _reservation_pb2.Rejection
    replayed: bool
    read_time: _timestamp_pb2.Timestamp
    def __init__(self, reservation: _Optional[_Union[_reservation_pb2.Reservation, _Mapping]] = ..., rejection: _Optional[_Union[_reservation_pb2.Rejection, _Mapping]] = ..., replayed: _Optional[bool] = ..., read_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class BatchReserveRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[ReserveRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[ReserveRequest, _Mapping]]] = ...) -> None: ...

class BatchReserveResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ReserveResult]
    def __init__(self, results: _Optional[_Iterable[_Union[ReserveResult, _Mapping]]] = ...) -> None: ...

class ReserveResult(_message.Message):
    __slots__ = ("response", "status")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    response: ReserveResponse
    status: _status_pb2.Status
    def __init__(self, response: _Optional[_Union[ReserveResponse, _Mapping]] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class StreamReserveRequest(_message.Message):
    __slots__ = ("correlation_id", "request")
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    correlation_id: int
    request: ReserveRequest
    def __init__(self, correlation_id: _Optional[int] = ..., request: _Optional[_Union[ReserveRequest, _Mapping]] = ...) -> None: ...

class StreamReserveResponse(_message.Message):
    __slots__ = ("correlation_id", "result")
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    correlation_id: int
    result: ReserveResult
    def __init__(self, correlation_id: _Optional[int] = ..., result: _Optional[_Union[ReserveResult, _Mapping]] = ...) -> None: ...

class ConfirmReservationRequest(_message.Message):
    __slots__ = ("sale_id", "reservation_id", "partial", "expected_revision")
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    sale_id: str
    reservation_id: str
    partial: PartialConfirm
    expected_revision: int
    def __init__(self, sale_id: _Optional[str] = ..., reservation_id: _Optional[str] = ..., partial: _Optional[_Union[PartialConfirm, _Mapping]] = ..., expected_revision: _Optional[int] = ...) -> None: ...

class PartialConfirm(_message.Message):
    __slots__ = ("lines",)
    LINES_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedCompositeFieldContainer[_reservation_pb2.Line]
    def __init__(self, lines: _Optional[_Iterable[_Union[_reservation_pb2.Line, _Mapping]]] = ...) -> None: ...

class ConfirmReservationResponse(_message.Message):
    __slots__ = ("reservation", "replayed", "read_time")
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    READ_TIME_FIELD_NUMBER: _ClassVar[int]
    reservation: _reservation_pb2.Reservation
    replayed: bool
    read_time: _timestamp_pb2.Timestamp
    def __init__(self, reservation: _Optional[_Union[_reservation_pb2.Reservation, _Mapping]] = ..., replayed: _Optional[bool] = ..., read_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReleaseReservationRequest(_message.Message):
    __slots__ = ("sale_id", "reservation_id", "reason", "spend_id", "expected_revision")
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SPEND_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    sale_id: str
    reservation_id: str
    reason: str
    spend_id: bool
    expected_revision: int
    def __init__(self, sale_id: _Optional[str] = ..., reservation_id: _Optional[str] = ..., reason: _Optional[str] = ..., spend_id: _Optional[bool] = ..., expected_revision: _Optional[int] = ...) -> None: ...

class ReleaseReservationResponse(_message.Message):
    __slots__ = ("reservation", "replayed", "read_time")
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    READ_TIME_FIELD_NUMBER: _ClassVar[int]
    reservation: _reservation_pb2.Reservation
    replayed: bool
    read_time: _timestamp_pb2.Timestamp
    def __init__(self, reservation: _Optional[_Union[_reservation_pb2.Reservation, _Mapping]] = ..., replayed: _Optional[bool] = ..., read_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExtendReservationRequest(_message.Message):
    __slots__ = ("sale_id", "reservation_id", "hold_ttl", "expected_revision")
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    HOLD_TTL_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    sale_id: str
    reservation_id: str
    hold_ttl: _duration_pb2.Duration
    expected_revision: int
    def __init__(self, sale_id: _Optional[str] = ..., reservation_id: _Optional[str] = ..., hold_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., expected_revision: _Optional[int] = ...) -> None: ...

class ExtendReservationResponse(_message.Message):
    __slots__ = ("reservation", "replayed", "read_time")
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    READ_TIME_FIELD_NUMBER: _ClassVar[int]
    reservation: _reservation_pb2.Reservation
    replayed: bool
    read_time: _timestamp_pb2.Timestamp
    def __init__(self, reservation: _Optional[_Union[_reservation_pb2.Reservation, _Mapping]] = ..., replayed: _Optional[bool] = ..., read_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ChangeReservationRequest(_message.Message):
    __slots__ = ("sale_id", "reservation_id", "lines", "expected_revision")
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    sale_id: str
    reservation_id: str
    lines: _containers.RepeatedCompositeFieldContainer[_reservation_pb2.Line]
    expected_revision: int
    def __init__(self, sale_id: _Optional[str] = ..., reservation_id: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[_reservation_pb2.Line, _Mapping]]] = ..., expected_revision: _Optional[int] = ...) -> None: ...

class ChangeReservationResponse(_message.Message):
    __slots__ = ("reservation", "rejection", "replayed", "read_time")
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    REJECTION_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    READ_TIME_FIELD_NUMBER: _ClassVar[int]
    reservation: _reservation_pb2.Reservation
    rejection: _reservation_pb2.Rejection
    replayed: bool
    read_time: _timestamp_pb2.Timestamp
    def __init__(self, reservation: _Optional[_Union[_reservation_pb2.Reservation, _Mapping]] = ..., rejection: _Optional[_Union[_reservation_pb2.Rejection, _Mapping]] = ..., replayed: _Optional[bool] = ..., read_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReturnReservationRequest(_message.Message):
    __slots__ = ("sale_id", "reservation_id", "reason", "lines", "expected_revision", "discard")
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    DISCARD_FIELD_NUMBER: _ClassVar[int]
    sale_id: str
    reservation_id: str
    reason: str
    lines: _containers.RepeatedCompositeFieldContainer[_reservation_pb2.Line]
    expected_revision: int
    discard: bool
    def __init__(self, sale_id: _Optional[str] = ..., reservation_id: _Optional[str] = ..., reason: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[_reservation_pb2.Line, _Mapping]]] = ..., expected_revision: _Optional[int] = ..., discard: _Optional[bool] = ...) -> None: ...

class ReturnReservationResponse(_message.Message):
    __slots__ = ("reservation", "replayed", "read_time")
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    READ_TIME_FIELD_NUMBER: _ClassVar[int]
    reservation: _reservation_pb2.Reservation
    replayed: bool
    read_time: _timestamp_pb2.Timestamp
    def __init__(self, reservation: _Optional[_Union[_reservation_pb2.Reservation, _Mapping]] = ..., replayed: _Optional[bool] = ..., read_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetReservationRequest(_message.Message):
    __slots__ = ("sale_id", "reservation_id")
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    sale_id: str
    reservation_id: str
    def __init__(self, sale_id: _Optional[str] = ..., reservation_id: _Optional[str] = ...) -> None: ...

class GetReservationResponse(_message.Message):
    __slots__ = ("reservation", "read_time")
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    READ_TIME_FIELD_NUMBER: _ClassVar[int]
    reservation: _reservation_pb2.Reservation
    read_time: _timestamp_pb2.Timestamp
    def __init__(self, reservation: _Optional[_Union[_reservation_pb2.Reservation, _Mapping]] = ..., read_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListReservationsRequest(_message.Message):
    __slots__ = ("buyer_id", "sale_id", "states", "page_size", "page_token", "reference", "at_least")
    BUYER_ID_FIELD_NUMBER: _ClassVar[int]
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    buyer_id: str
    sale_id: str
    states: _containers.RepeatedScalarFieldContainer[_reservation_pb2.ReservationState]
    page_size: int
    page_token: str
    reference: str
    at_least: _reservation_pb2.Position
    def __init__(self, buyer_id: _Optional[str] = ..., sale_id: _Optional[str] = ..., states: _Optional[_Iterable[_Union[_reservation_pb2.ReservationState, str]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., reference: _Optional[str] = ..., at_least: _Optional[_Union[_reservation_pb2.Position, _Mapping]] = ...) -> None: ...

class ListReservationsResponse(_message.Message):
    __slots__ = ("reservations", "next_page_token", "complete_time")
    RESERVATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_TIME_FIELD_NUMBER: _ClassVar[int]
    reservations: _containers.RepeatedCompositeFieldContainer[_reservation_pb2.Reservation]
    next_page_token: str
    complete_time: _timestamp_pb2.Timestamp
    def __init__(self, reservations: _Optional[_Iterable[_Union[_reservation_pb2.Reservation, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., complete_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class WatchReservationRequest(_message.Message):
    __slots__ = ("sale_id", "reservation_id")
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    sale_id: str
    reservation_id: str
    def __init__(self, sale_id: _Optional[str] = ..., reservation_id: _Optional[str] = ...) -> None: ...

class WatchReservationResponse(_message.Message):
    __slots__ = ("reservation", "read_time")
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    READ_TIME_FIELD_NUMBER: _ClassVar[int]
    reservation: _reservation_pb2.Reservation
    read_time: _timestamp_pb2.Timestamp
    def __init__(self, reservation: _Optional[_Union[_reservation_pb2.Reservation, _Mapping]] = ..., read_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetSaleRequest(_message.Message):
    __slots__ = ("sale_id",)
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    sale_id: str
    def __init__(self, sale_id: _Optional[str] = ...) -> None: ...

class GetSaleResponse(_message.Message):
    __slots__ = ("sale", "read_time", "as_of")
    SALE_FIELD_NUMBER: _ClassVar[int]
    READ_TIME_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    sale: _sale_pb2.Sale
    read_time: _timestamp_pb2.Timestamp
    as_of: _reservation_pb2.Position
    def __init__(self, sale: _Optional[_Union[_sale_pb2.Sale, _Mapping]] = ..., read_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., as_of: _Optional[_Union[_reservation_pb2.Position, _Mapping]] = ...) -> None: ...

class WatchSaleRequest(_message.Message):
    __slots__ = ("sale_id",)
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    sale_id: str
    def __init__(self, sale_id: _Optional[str] = ...) -> None: ...

class WatchSaleResponse(_message.Message):
    __slots__ = ("sale", "snapshot", "read_time", "until_start", "until_end", "as_of", "ledger_lag")
    SALE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    READ_TIME_FIELD_NUMBER: _ClassVar[int]
    UNTIL_START_FIELD_NUMBER: _ClassVar[int]
    UNTIL_END_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    LEDGER_LAG_FIELD_NUMBER: _ClassVar[int]
    sale: _sale_pb2.Sale
    snapshot: bool
    read_time: _timestamp_pb2.Timestamp
    until_start: _duration_pb2.Duration
    until_end: _duration_pb2.Duration
    as_of: _reservation_pb2.Position
    ledger_lag: _duration_pb2.Duration
    def __init__(self, sale: _Optional[_Union[_sale_pb2.Sale, _Mapping]] = ..., snapshot: _Optional[bool] = ..., read_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until_start: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., until_end: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., as_of: _Optional[_Union[_reservation_pb2.Position, _Mapping]] = ..., ledger_lag: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
