"""Collects the methods that the generated code registers at a server."""

from collections.abc import Iterable
from typing import Any, TypeAlias

import grpc

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class MethodsByService(dict[str, dict[str, Handler]]):
    """Takes the place of a server in the generated code."""

    def add_generic_rpc_handlers(self, _handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Has the same methods, in a form that hides them."""

    def add_registered_method_handlers(self, service: str, methods: dict[str, Handler]) -> None:
        self[service] = methods
