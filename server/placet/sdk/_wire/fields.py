"""Sets the fields of protobuf messages. A value that a field cannot hold is an error that names the field."""

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
_Value = TypeVar("_Value")
_VALID_VALUES: Final = {
    FieldDescriptor.CPPTYPE_STRING: "text",
    FieldDescriptor.CPPTYPE_BOOL: "True or False",
    FieldDescriptor.CPPTYPE_INT32: "an int of 32 bits",
    FieldDescriptor.CPPTYPE_INT64: "an int of 64 bits",
    FieldDescriptor.CPPTYPE_UINT32: "an int of 32 bits, not below 0",
    FieldDescriptor.CPPTYPE_UINT64: "an int of 64 bits, not below 0",
}


def invalid(*violations: tuple[str, str]) -> InvalidRequestError:
    """Return the error for invalid fields: pairs of a field's path and the description of a valid value."""
    return InvalidRequestError(_failure(*violations))


def wrong_type(field: str, description: str) -> WrongTypeError:
    """Return the error for a field whose value has another type."""
    return WrongTypeError(_failure((field, description)))


def invalid_params(field: str, description: str) -> InvalidParamsError:
    """Return the error for params with a value that JSON cannot hold exactly."""
    return InvalidParamsError(_failure((field, description)))


def set_fields(message: _Message, path: str, **values: Any) -> _Message:  # noqa: ANN401 - values of callers, of any type
    """Set fields of the message that are no messages themselves, and return it. None leaves a field unset.

    Raises InvalidRequestError or WrongTypeError, which name the field as ``path + field``.
    """
    for name, value in values.items():
        if value is None:
            continue
        try:
            setattr(message, name, value)
        except TypeError:
            description = f"must be {_valid_value(message, name)}, not {type(value).__name__}"
            raise wrong_type(path + name, description) from None
        except ValueError as error:
            raise invalid((path + name, f"must be {_valid_value(message, name)}: {error}")) from None
    return message


def require_type(kind: type[_Value], field: str, value: object) -> _Value:
    """Return the value if it has the type. Raises WrongTypeError otherwise."""
    if not isinstance(value, kind):
        raise wrong_type(field, f"must be {_with_article(kind.__name__)}, not {type(value).__name__}")
    return value


def require_list(kind: type[_Value], field: str, values: object) -> list[_Value]:
    """Return the values as a list if each has the type. Raises WrongTypeError otherwise, also for a single text."""
    if isinstance(values, str):
        raise wrong_type(field, "must be a list, not one text")
    if not isinstance(values, Iterable):
        raise wrong_type(field, f"must be a list, not {type(values).__name__}")
    return [require_type(kind, f"{field}[{index}]", value) for index, value in enumerate(values)]


def require_strings(field: str, values: object) -> list[str]:
    """Return the values as a list of texts that UTF-8 can encode. Raises InvalidRequestError otherwise."""
    texts = require_list(str, field, values)
    for index, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise invalid((f"{field}[{index}]", f"must be text: {error}")) from None
    return texts


def _failure(*violations: tuple[str, str]) -> Failure:
    fields = tuple(FieldViolation(field, description) for field, description in violations)
    return Failure(failures.INVALID_ARGUMENT, violations=fields)


def _valid_value(message: Message, name: str) -> str:
    field = message.DESCRIPTOR.fields_by_name[name]
    return _VALID_VALUES.get(field.cpp_type, "something else")


def _with_article(name: str) -> str:
    if name == "str":
        return "text"
    return f"an {name}" if name[0] in "AEIOU" else f"a {name}"
