"""The table of methods: every method of both services has its class, and the class fits what the protos say of it."""

from collections.abc import Mapping

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls

from inventory_service.rpc.methods import METHODS, SLOTS, STREAMS

STOCK: Mapping[str, MethodDescriptor] = calls.DESCRIPTOR.services_by_name["InventoryService"].methods_by_name
ADMIN: Mapping[str, MethodDescriptor] = admin.DESCRIPTOR.services_by_name["InventoryAdminService"].methods_by_name
EVERY = {**STOCK, **ADMIN}
CLAIMS = {"Reserve", "BatchReserve"}


def is_read(name: str) -> bool:
    return bool(EVERY[name].GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS)


def is_stream(name: str) -> bool:
    return bool(EVERY[name].client_streaming or EVERY[name].server_streaming)


def test_every_method_has_a_class_and_no_name_is_in_both_services() -> None:
    """A server with a method that the table lacks would not start."""
    assert METHODS.keys() == EVERY.keys()
    assert len(EVERY) == len(STOCK) + len(ADMIN)


def test_a_method_changes_something_unless_the_protos_say_otherwise() -> None:
    """A change fails for an unknown field, and its outcome may be unknown."""
    assert {name: METHODS[name].changes for name in EVERY} == {name: not is_read(name) for name in EVERY}


def test_the_slots_of_a_method_follow_from_what_it_does() -> None:
    """Claims and reads fail first, then moves; an operator gets through as long as there is a slot."""

    def slots(name: str) -> int:
        if is_stream(name):
            return STREAMS
        if name in ADMIN:
            return SLOTS
        return SLOTS * (85 if name in CLAIMS or is_read(name) else 95) // 100

    assert {name: METHODS[name].slots for name in EVERY} == {name: slots(name) for name in EVERY}


def test_only_streams_have_no_time_limit() -> None:
    """They end by themselves; every other call ends though its caller sets no deadline."""
    limits_s = {name: None if is_stream(name) else 30 for name in EVERY}

    assert {name: METHODS[name].time_limit_s for name in EVERY} == {**limits_s, "AuditSale": 290}


def test_a_process_has_as_many_slots_as_the_docs_say() -> None:
    """Beyond 3,481 calls claims and reads fail, beyond 3,891 moves too."""
    assert (SLOTS, METHODS["Reserve"].slots, METHODS["ConfirmReservation"].slots) == (4096, 3481, 3891)
