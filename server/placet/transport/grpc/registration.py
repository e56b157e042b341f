"""Registers servicers with the gRPC server."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import grpc


class GenericRegistration:
    """Stands for the server in the generated functions ``add_..._to_server``: registers no method with gRPC's core.

    For each method that its core knows, grpc.aio keeps a task that waits for the next call, and after each call it
    examines all of these tasks. With about thirty methods that was a quarter of all Python calls of one Authorize.
    Methods that the core does not know share one task. grpc.aio finds their handlers by name, as the intake interceptor
    does in any case.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(
        self,
        handlers: Sequence[grpc.GenericRpcHandler],  # type: ignore[type-arg] # no generic when it runs
    ) -> None:
        """Register handlers that are found by the name of their method."""
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, object]) -> None:
        """Leave the methods out of gRPC's core. The same handlers are registered as generic ones."""
