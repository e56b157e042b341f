"""Maps between enums of Placet and enums of the wire, by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

Value = TypeVar("Value", bound=Enum)
Wire = TypeVar("Wire", bound=int)


@dataclass(frozen=True, slots=True)
class EnumCodec(Generic[Value, Wire]):
    """The two directions of a map. `from_wire` has no entry for UNSPECIFIED and for numbers of newer protos."""

    to_wire: Mapping[Value, Wire]
    from_wire: Mapping[int, Value]


def enum_codec(values: type[Value], wire: type[Wire]) -> EnumCodec[Value, Wire]:
    """Return the map between two enums. ``Effect.ALLOW`` belongs to ``EFFECT_ALLOW`` of the proto enum ``Effect``.

    Modules call this at import. TypeError if a member of one enum has no counterpart in the other, so that a value
    that was added on one side only cannot be deployed.
    """
    proto = cast("Any", wire)  # an EnumTypeWrapper: protobuf types it as the class of its numbers
    prefix = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", proto.DESCRIPTOR.name).upper() + "_"
    numbers = {name.removeprefix(prefix): number for name, number in proto.items()}
    del numbers["UNSPECIFIED"]
    different = sorted(numbers.keys() ^ values.__members__.keys())
    if different:
        raise TypeError(f"{values.__name__} and {proto.DESCRIPTOR.full_name} differ in {', '.join(different)}")
    to_wire = {member: numbers[member.name] for member in values}
    return EnumCodec(to_wire, {number: member for member, number in to_wire.items()})
