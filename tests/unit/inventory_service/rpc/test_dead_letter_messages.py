"""Dead letters as messages of the API."""

from google.protobuf.timestamp_pb2 import Timestamp
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import reservation_pb2

from inventory_service.domain.dead_letters import DeadLetter
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import COMPENSATED, ID_REUSED, Line
from inventory_service.rpc.messages import dead_letter_to_proto

LETTER = DeadLetter(
    created=Position(3, 1, 7, 2),
    sale=SaleKey("default", "lamp-sale"),
    reservation_id="r-1",
    buyer_id="ada",
    lines=(Line("lamp", 2), Line("shade", 1)),
    reason=ID_REUSED,
    detail="there is one",
    position=Position(3, 1, 9, 0),
    create_time_ms=1_700_000_000_123,
    state=admin.DEAD_LETTER_STATE_REPLAYED,
    replayed_as="r-2",
    reservation_state=COMPENSATED,
    sold=(Line("lamp", 1),),
)


def test_every_field_of_a_dead_letter_is_told() -> None:
    """An operator decides by them."""
    message = dead_letter_to_proto(LETTER)

    assert message == admin.DeadLetter(
        dead_letter_id="3-1-7-2",
        sale_id="lamp-sale",
        reservation_id="r-1",
        buyer_id="ada",
        lines=[reservation_pb2.Line(sku="lamp", quantity=2), reservation_pb2.Line(sku="shade", quantity=1)],
        reason=reservation_pb2.COMPENSATION_REASON_ID_REUSED,
        detail="there is one",
        position=reservation_pb2.Position(shard=3, epoch=1, seq=9, index=0),
        create_time=Timestamp(seconds=1_700_000_000, nanos=123_000_000),
        state=admin.DEAD_LETTER_STATE_REPLAYED,
        replayed_as="r-2",
        created=reservation_pb2.Position(shard=3, epoch=1, seq=7, index=2),
        reservation_state=reservation_pb2.RESERVATION_STATE_COMPENSATED,
        sold=[reservation_pb2.Line(sku="lamp", quantity=1)],
    )
    assert {field.name for field, _ in message.ListFields()} == set(message.DESCRIPTOR.fields_by_name)
