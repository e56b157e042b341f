"""Values into the fields of messages. A value that a field cannot hold is refused under the field's name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from google.protobuf.descriptor import FieldDescriptor

from placet.sdk import failures
from placet.sdk.errors import InvalidParamsError, InvalidRequestError, WrongTypeError
from placet.sdk.failures import Failure, FieldViolation

if TYPE_CHECKING:
    from google.protobuf.message import Message

_Message = TypeVar("_Message", bound="Message")
_Kind = TypeVar("_Kind")
_WANTED: Final = {
    FieldDescriptor.CPPTYPE_STRING: "text",
    FieldDescriptor.CPPTYPE_BOOL: "True or False",
    FieldDescriptor.CPPTYPE_INT32: "an int of 32 bits",
    FieldDescriptor.CPPTYPE_INT64: "an int of 64 bits",
    FieldDescriptor.CPPTYPE_UINT32: "an int of 32 bits, not below 0",
    FieldDescriptor.CPPTYPE_UINT64: "an int of 64 bits, not below 0",
}


def invalid(*violations: tuple[str, str]) -> InvalidRequestError:
    """The error for fields that are wrong."""
    named = tuple(FieldViolation(field, description) for field, description in violations)
    return InvalidRequestError(Failure(failures.INVALID_ARGUMENT, violations=named))


def wrong_type(field: str, description: str) -> WrongTypeError:
    """The error for a field that is of another type."""
    return WrongTypeError(Failure(failures.INVALID_ARGUMENT, violations=(FieldViolation(field, description),)))


def invalid_params(field: str, description: str) -> InvalidParamsError:
    """The error for params that hold a value that JSON cannot hold exactly."""
    return InvalidParamsError(Failure(failures.INVALID_ARGUMENT, violations=(FieldViolation(field, description),)))


def set_fields(message: _Message, path: str, **values: Any) -> _Message:  # noqa: ANN401 - what callers gave, of any type
    """The message with these plain fields set; None leaves one unset. InvalidRequestError names ``path + field``."""
    for name, value in values.items():
        if value is None:
            continue
        try:
            setattr(message, name, value)
        except TypeError:
            raise wrong_type(path + name, f"must be {_wanted(message, name)}, not {type(value).__name__}") from None
        except ValueError as error:
            raise invalid((path + name, f"must be {_wanted(message, name)}: {error}")) from None
    return message


def require_type(kind: type[_Kind], field: str, value: object) -> _Kind:
    """The value, when it is of that kind."""
    if not isinstance(value, kind):
        raise wrong_type(field, f"must be {_article(kind.__name__)}, not {type(value).__name__}")
    return value


def require_list(kind: type[_Kind], field: str, values: object) -> list[_Kind]:
    """The values as a list, each of that kind. A text is a sequence of letters too: nobody means that."""
    if isinstance(values, str):
        raise wrong_type(field, "must be a list, not one text")
    if not isinstance(values, Iterable):
        raise wrong_type(field, f"must be a list, not {type(values).__name__}")
    return [require_type(kind, f"{field}[{index}]", each) for index, each in enumerate(values)]


def require_strings(field: str, values: object) -> list[str]:
    """The values as a list of texts that can be sent."""
    given = require_list(str, field, values)
    for index, each in enumerate(given):
        try:
            each.encode()
        except UnicodeEncodeError as error:
            raise invalid((f"{field}[{index}]", f"must be text: {error}")) from None
    return given


def _wanted(message: Message, name: str) -> str:
    field = message.DESCRIPTOR.fields_by_name[name]
    return _WANTED.get(field.cpp_type, "something else")


def _article(name: str) -> str:
    if name == "str":
        return "text"
    return f"an {name}" if name[0] in "AEIOU" else f"a {name}"
