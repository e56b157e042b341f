"""Every RPC of Placet, and the classes of its messages."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from google.protobuf.message_factory import GetMessageClass

import placet.v1

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message


def every_rpc() -> dict[str, MethodDescriptor]:
    """Return the descriptor of each RPC by service and method."""
    files = [importlib.import_module(f"placet.v1.{each.name}") for each in pkgutil.iter_modules(placet.v1.__path__)]
    services = [
        one for each in files if hasattr(each, "DESCRIPTOR") for one in each.DESCRIPTOR.services_by_name.values()
    ]
    return {f"{service.name}.{method.name}": method for service in services for method in service.methods}


def message_class(method: MethodDescriptor, *, response: bool = False) -> type[Message]:
    """Return the request class of a method, or its response class."""
    made: type[Message] = GetMessageClass(method.output_type if response else method.input_type)
    return made
