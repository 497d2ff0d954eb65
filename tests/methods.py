"""The methods of both services, as the protos describe them."""

from collections.abc import Mapping

from google.protobuf.descriptor import MethodDescriptor
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls

METHODS: Mapping[str, MethodDescriptor] = {  # by name, which is of one service alone
    method.name: method
    for file in (calls.DESCRIPTOR, admin.DESCRIPTOR)
    for service in file.services_by_name.values()
    for method in service.methods
}
