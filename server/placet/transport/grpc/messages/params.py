"""Parses the parameters of an action, JSON text or a Struct, into canonical JSON. In steps if they are large."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from placet.actions.canonical_json import NotCanonicalError, canonical, canonical_text, canonicalising, parse_object
from placet.kernel.limits import PARAMS_BYTES_MAX, STEP_BYTES
from placet.kernel.steps import exhausted

if TYPE_CHECKING:
    from google.protobuf import struct_pb2

    from placet.kernel.steps import Steps
    from placet.v1 import action_pb2

_STEP_VALUES: Final = 4_096
"""Values of a Struct that are read in one step, which takes about 5 ms."""


def params_of(message: action_pb2.Action) -> Steps[bytes]:
    """Return the canonical parameters. NotCanonicalError if they are not a strict JSON object, or too large."""
    form = message.WhichOneof("params")
    if form is None:
        return b"{}"
    if form == "params_json":
        text = message.params_json
        if len(text) <= STEP_BYTES:
            return canonical_text(text)
        value = parse_object(text)
        yield
        return (yield from canonicalising(value))
    steps = _Reader().struct(message.params_struct)
    if message.params_struct.ByteSize() <= STEP_BYTES:
        return canonical(exhausted(steps))
    value = yield from steps
    params = yield from canonicalising(value)
    if len(params) > PARAMS_BYTES_MAX:
        raise NotCanonicalError("", f"is {len(params)} bytes as JSON; at most {PARAMS_BYTES_MAX} are accepted")
    return params


_NESTED: Final = frozenset({"struct_value", "list_value"})


class _Reader:
    """Converts a Struct to JSON values, as ProtoJSON defines."""

    def __init__(self) -> None:
        self._values = 0

    def struct(self, message: struct_pb2.Struct) -> Steps[dict[str, Any]]:
        """Return the object. Every number is a float."""
        members: dict[str, Any] = {}
        for key, value in message.fields.items():
            if self._is_step():
                yield
            kind = value.WhichOneof("kind")
            members[key] = (yield from self._nested(value)) if kind in _NESTED else _scalar(value, kind)
        return members

    def _nested(self, value: struct_pb2.Value) -> Steps[Any]:
        if value.HasField("struct_value"):
            return (yield from self.struct(value.struct_value))
        items: list[Any] = []
        for item in value.list_value.values:
            if self._is_step():
                yield
            kind = item.WhichOneof("kind")
            items.append((yield from self._nested(item)) if kind in _NESTED else _scalar(item, kind))
        return items

    def _is_step(self) -> bool:
        """Count a value. Return whether a step ends with it."""
        self._values += 1
        if self._values > PARAMS_BYTES_MAX // 2:  # a value is at least a character and a comma
            raise NotCanonicalError("", f"is more than {PARAMS_BYTES_MAX} bytes as JSON; at most that are accepted")
        return not self._values % _STEP_VALUES


def _scalar(value: struct_pb2.Value, kind: str | None) -> Any:  # noqa: ANN401 - any JSON value
    return None if kind is None or kind == "null_value" else getattr(value, kind)
