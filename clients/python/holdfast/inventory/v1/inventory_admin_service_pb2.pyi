import datetime

from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from holdfast.inventory.v1 import inventory_service_pb2 as _inventory_service_pb2
from holdfast.inventory.v1 import reservation_pb2 as _reservation_pb2
from holdfast.inventory.v1 import sale_pb2 as _sale_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DeadLetterState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEAD_LETTER_STATE_UNSPECIFIED: _ClassVar[DeadLetterState]
    DEAD_LETTER_STATE_OPEN: _ClassVar[DeadLetterState]
    DEAD_LETTER_STATE_SETTLED: _ClassVar[DeadLetterState]
    DEAD_LETTER_STATE_REPLAYED: _ClassVar[DeadLetterState]
DEAD_LETTER_STATE_UNSPECIFIED: DeadLetterState
DEAD_LETTER_STATE_OPEN: DeadLetterState
DEAD_LETTER_STATE_SETTLED: DeadLetterState
DEAD_LETTER_STATE_REPLAYED: DeadLetterState

class CreateSaleRequest(_message.Message):
    __slots__ = ("sale",)
    SALE_FIELD_NUMBER: _ClassVar[int]
    sale: _sale_pb2.Sale
    def __init__(self, sale: _Optional[_Union[_sale_pb2.Sale, _Mapping]] = ...) -> None: ...

class CreateSaleResponse(_message.Message):
    __slots__ = ("sale", "replayed")
    SALE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    sale: _sale_pb2.Sale
    replayed: bool
    def __init__(self, sale: _Optional[_Union[_sale_pb2.Sale, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class UpdateSaleRequest(_message.Message):
    __slots__ = ("sale", "update_mask")
    SALE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    sale: _sale_pb2.Sale
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, sale: _Optional[_Union[_sale_pb2.Sale, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdateSaleResponse(_message.Message):
    __slots__ = ("sale", "replayed")
    SALE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    sale: _sale_pb2.Sale
    replayed: bool
    def __init__(self, sale: _Optional[_Union[_sale_pb2.Sale, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class ListSalesRequest(_message.Message):
    __slots__ = ("states", "page_size", "page_token")
    STATES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    states: _containers.RepeatedScalarFieldContainer[_sale_pb2.SaleState]
    page_size: int
    page_token: str
    def __init__(self, states: _Optional[_Iterable[_Union[_sale_pb2.SaleState, str]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSalesResponse(_message.Message):
    __slots__ = ("sales", "next_page_token", "complete_time")
    SALES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_TIME_FIELD_NUMBER: _ClassVar[int]
    sales: _containers.RepeatedCompositeFieldContainer[_sale_pb2.Sale]
    next_page_token: str
    complete_time: _timestamp_pb2.Timestamp
    def __init__(self, sales: _Optional[_Iterable[_Union[_sale_pb2.Sale, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., complete_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PauseSaleRequest(_message.Message):
    __slots__ = ("sale_id", "etag", "reason")
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    sale_id: str
    etag: str
    reason: str
    def __init__(self, sale_id: _Optional[str] = ..., etag: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class PauseSaleResponse(_message.Message):
    __slots__ = ("sale", "replayed")
    SALE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    sale: _sale_pb2.Sale
    replayed: bool
    def __init__(self, sale: _Optional[_Union[_sale_pb2.Sale, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class ResumeSaleRequest(_message.Message):
    __slots__ = ("sale_id", "etag", "reason")
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    sale_id: str
    etag: str
    reason: str
    def __init__(self, sale_id: _Optional[str] = ..., etag: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ResumeSaleResponse(_message.Message):
    __slots__ = ("sale", "replayed")
    SALE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    sale: _sale_pb2.Sale
    replayed: bool
    def __init__(self, sale: _Optional[_Union[_sale_pb2.Sale, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class CloseSaleRequest(_message.Message):
    __slots__ = ("sale_id", "etag", "reason", "release_holds")
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RELEASE_HOLDS_FIELD_NUMBER: _ClassVar[int]
    sale_id: str
    etag: str
    reason: str
    release_holds: bool
    def __init__(self, sale_id: _Optional[str] = ..., etag: _Optional[str] = ..., reason: _Optional[str] = ..., release_holds: _Optional[bool] = ...) -> None: ...

class CloseSaleResponse(_message.Message):
    __slots__ = ("sale", "replayed")
    SALE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    sale: _sale_pb2.Sale
    replayed: bool
    def __init__(self, sale: _Optional[_Union[_sale_pb2.Sale, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class AdjustStockRequest(_message.Message):
    __slots__ = ("sale_id", "sku", "adjustment_id", "delta", "new_total", "expected_total", "reason", "reference")
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    ADJUSTMENT_ID_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    NEW_TOTAL_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    sale_id: str
    sku: str
    adjustment_id: str
    delta: int
    new_total: int
    expected_total: int
    reason: str
    reference: str
    def __init__(self, sale_id: _Optional[str] = ..., sku: _Optional[str] = ..., adjustment_id: _Optional[str] = ..., delta: _Optional[int] = ..., new_total: _Optional[int] = ..., expected_total: _Optional[int] = ..., reason: _Optional[str] = ..., reference: _Optional[str] = ...) -> None: ...

class AdjustStockResponse(_message.Message):
    __slots__ = ("adjustment", "replayed", "item")
    ADJUSTMENT_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    adjustment: _sale_pb2.Adjustment
    replayed: bool
    item: _sale_pb2.Item
    def __init__(self, adjustment: _Optional[_Union[_sale_pb2.Adjustment, _Mapping]] = ..., replayed: _Optional[bool] = ..., item: _Optional[_Union[_sale_pb2.Item, _Mapping]] = ...) -> None: ...

class ListAdjustmentsRequest(_message.Message):
    __slots__ = ("sale_id", "sku", "page_size", "page_token")
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sale_id: str
    sku: str
    page_size: int
    page_token: str
    def __init__(self, sale_id: _Optional[str] = ..., sku: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAdjustmentsResponse(_message.Message):
    __slots__ = ("adjustments", "next_page_token", "complete_time")
    ADJUSTMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_TIME_FIELD_NUMBER: _ClassVar[int]
    adjustments: _containers.RepeatedCompositeFieldContainer[_sale_pb2.Adjustment]
    next_page_token: str
    complete_time: _timestamp_pb2.Timestamp
    def __init__(self, adjustments: _Optional[_Iterable[_Union[_sale_pb2.Adjustment, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., complete_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AuditSaleRequest(_message.Message):
    __slots__ = ("sale_id",)
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    sale_id: str
    def __init__(self, sale_id: _Optional[str] = ...) -> None: ...

class AuditSaleResponse(_message.Message):
    __slots__ = ("consistent", "as_of", "differences", "items_compared", "reservations_compared", "truncated")
    CONSISTENT_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    ITEMS_COMPARED_FIELD_NUMBER: _ClassVar[int]
    RESERVATIONS_COMPARED_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    consistent: bool
    as_of: _reservation_pb2.Position
    differences: _containers.RepeatedCompositeFieldContainer[AuditDifference]
    items_compared: int
    reservations_compared: int
    truncated: bool
    def __init__(self, consistent: _Optional[bool] = ..., as_of: _Optional[_Union[_reservation_pb2.Position, _Mapping]] = ..., differences: _Optional[_Iterable[_Union[AuditDifference, _Mapping]]] = ..., items_compared: _Optional[int] = ..., reservations_compared: _Optional[int] = ..., truncated: _Optional[bool] = ...) -> None: ...

class AuditDifference(_message.Message):
    __slots__ = ("subject", "redis_value", "ledger_value")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    REDIS_VALUE_FIELD_NUMBER: _ClassVar[int]
    LEDGER_VALUE_FIELD_NUMBER: _ClassVar[int]
    subject: str
    redis_value: str
    ledger_value: str
    def __init__(self, subject: _Optional[str] = ..., redis_value: _Optional[str] = ..., ledger_value: _Optional[str] = ...) -> None: ...

class DeadLetter(_message.Message):
    __slots__ = ("dead_letter_id", "sale_id", "reservation_id", "buyer_id", "lines", "reason", "detail", "position", "create_time", "state", "replayed_as", "created", "reservation_state", "sold")
    DEAD_LETTER_ID_FIELD_NUMBER: _ClassVar[int]
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    BUYER_ID_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_AS_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_STATE_FIELD_NUMBER: _ClassVar[int]
    SOLD_FIELD_NUMBER: _ClassVar[int]
    dead_letter_id: str
    sale_id: str
    reservation_id: str
    buyer_id: str
    lines: _containers.RepeatedCompositeFieldContainer[_reservation_pb2.Line]
    reason: _reservation_pb2.CompensationReason
    detail: str
    position: _reservation_pb2.Position
    create_time: _timestamp_pb2.Timestamp
    state: DeadLetterState
    replayed_as: str
    created: _reservation_pb2.Position
    reservation_state: _reservation_pb2.ReservationState
    sold: _containers.RepeatedCompositeFieldContainer[_reservation_pb2.Line]
    def __init__(self, dead_letter_id: _Optional[str] = ..., sale_id: _Optional[str] = ..., reservation_id: _Optional[str] = ..., buyer_id: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[_reservation_pb2.Line, _Mapping]]] = ..., reason: _Optional[_Union[_reservation_pb2.CompensationReason, str]] = ..., detail: _Optional[str] = ..., position: _Optional[_Union[_reservation_pb2.Position, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state: _Optional[_Union[DeadLetterState, str]] = ..., replayed_as: _Optional[str] = ..., created: _Optional[_Union[_reservation_pb2.Position, _Mapping]] = ..., reservation_state: _Optional[_Union[_reservation_pb2.ReservationState, str]] = ..., sold: _Optional[_Iterable[_Union[_reservation_pb2.Line, _Mapping]]] = ...) -> None: ...

class ListDeadLettersRequest(_message.Message):
    __slots__ = ("sale_id", "states", "page_size", "page_token")
    SALE_ID_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sale_id: str
    states: _containers.RepeatedScalarFieldContainer[DeadLetterState]
    page_size: int
    page_token: str
    def __init__(self, sale_id: _Optional[str] = ..., states: _Optional[_Iterable[_Union[DeadLetterState, str]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDeadLettersResponse(_message.Message):
    __slots__ = ("dead_letters", "next_page_token", "complete_time")
    DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_TIME_FIELD_NUMBER: _ClassVar[int]
    dead_letters: _containers.RepeatedCompositeFieldContainer[DeadLetter]
    next_page_token: str
    complete_time: _timestamp_pb2.Timestamp
    def __init__(self, dead_letters: _Optional[_Iterable[_Union[DeadLetter, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., complete_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReplayDeadLetterRequest(_message.Message):
    __slots__ = ("dead_letter_id", "reservation_id")
    DEAD_LETTER_ID_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    dead_letter_id: str
    reservation_id: str
    def __init__(self, dead_letter_id: _Optional[str] = ..., reservation_id: _Optional[str] = ...) -> None: ...

class ReplayDeadLetterResponse(_message.Message):
    __slots__ = ("outcome", "dead_letter")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_FIELD_NUMBER: _ClassVar[int]
    outcome: _inventory_service_pb2.ReserveResponse
    dead_letter: DeadLetter
    def __init__(self, outcome: _Optional[_Union[_inventory_service_pb2.ReserveResponse, _Mapping]] = ..., dead_letter: _Optional[_Union[DeadLetter, _Mapping]] = ...) -> None: ...

class BlockBuyerRequest(_message.Message):
    __slots__ = ("buyer_id", "reason")
    BUYER_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    buyer_id: str
    reason: str
    def __init__(self, buyer_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class BlockBuyerResponse(_message.Message):
    __slots__ = ("replayed",)
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    replayed: bool
    def __init__(self, replayed: _Optional[bool] = ...) -> None: ...

class UnblockBuyerRequest(_message.Message):
    __slots__ = ("buyer_id",)
    BUYER_ID_FIELD_NUMBER: _ClassVar[int]
    buyer_id: str
    def __init__(self, buyer_id: _Optional[str] = ...) -> None: ...

class UnblockBuyerResponse(_message.Message):
    __slots__ = ("replayed",)
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    replayed: bool
    def __init__(self, replayed: _Optional[bool] = ...) -> None: ...

class ListBlockedBuyersRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListBlockedBuyersResponse(_message.Message):
    __slots__ = ("blocked_buyers", "next_page_token")
    BLOCKED_BUYERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    blocked_buyers: _containers.RepeatedCompositeFieldContainer[BlockedBuyer]
    next_page_token: str
    def __init__(self, blocked_buyers: _Optional[_Iterable[_Union[BlockedBuyer, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class BlockedBuyer(_message.Message):
    __slots__ = ("buyer_id", "reason", "create_time", "actor")
    BUYER_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    buyer_id: str
    reason: str
    create_time: _timestamp_pb2.Timestamp
    actor: str
    def __init__(self, buyer_id: _Optional[str] = ..., reason: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., actor: _Optional[str] = ...) -> None: ...

class RevokeTokensRequest(_message.Message):
    __slots__ = ("jti", "subject_tokens", "reason")
    JTI_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    jti: str
    subject_tokens: SubjectTokens
    reason: str
    def __init__(self, jti: _Optional[str] = ..., subject_tokens: _Optional[_Union[SubjectTokens, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class SubjectTokens(_message.Message):
    __slots__ = ("subject", "issued_before")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ISSUED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    subject: str
    issued_before: _timestamp_pb2.Timestamp
    def __init__(self, subject: _Optional[str] = ..., issued_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RevokeTokensResponse(_message.Message):
    __slots__ = ("replayed", "recorded")
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    replayed: bool
    recorded: bool
    def __init__(self, replayed: _Optional[bool] = ..., recorded: _Optional[bool] = ...) -> None: ...
