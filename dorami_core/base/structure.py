"""The border: JSON becomes attrs objects and back. Strict; camelCase outside, snake_case inside."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar
from uuid import UUID

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from dorami_core.base.clock import iso
from dorami_core.base.errors import DoramiError
from dorami_core.base.money import Money

T = TypeVar("T")
_NAMED = "\x1f"
"""Between a field's name and its problem, where the problem comes from a validator."""


_SURROGATE = re.compile("[\ud800-\udfff]")


def camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def _exactly(kind: type) -> Any:
    def structure(value: Any, _: type) -> Any:
        if type(value) is not kind:
            raise TypeError(f"expected {kind.__name__}")
        return value

    return structure


def _string(value: Any, _: type) -> str:
    if type(value) is not str:
        raise TypeError("expected str")
    if "\x00" in value or _SURROGATE.search(value):
        raise ValueError("has a character that cannot be stored")
    return value


def _uuid(value: Any, _: type) -> UUID:
    if type(value) is not str or len(value) != 36:
        raise TypeError("expected a UUID")
    return UUID(value)


def _datetime(value: Any, _: type) -> datetime:
    if type(value) is not str:
        raise TypeError("expected an ISO-8601 time")
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("a time needs its offset, such as Z")
    return moment


def _number(value: Any, _: type) -> float:
    if type(value) not in (int, float):
        raise TypeError("expected a number")
    return float(value)


def _renamed(cls: Any) -> dict[str, Any]:
    return {field.name: override(rename=camel(field.name)) for field in attrs.fields(attrs.resolve_types(cls))}


class PlainDict(dict[str, Any]):
    """An object that is JSON already, all through and without bytes, so that nobody has to look into it again."""

    __slots__ = ()


class PlainList(list[Any]):
    """The same for an array."""

    __slots__ = ()


PLAIN = (PlainDict, PlainList)


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True, prefer_attrib_converters=False)
    for kind in (int, bool):
        converter.register_structure_hook(kind, _exactly(kind))
    converter.register_structure_hook(str, _string)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(UUID, _uuid)
    converter.register_structure_hook(datetime, _datetime)
    converter.register_unstructure_hook(UUID, str)
    converter.register_unstructure_hook(datetime, iso)
    converter.register_unstructure_hook(Money, str)
    for plain_kind in PLAIN:
        converter.register_unstructure_hook(plain_kind, lambda value: value)
    converter.register_unstructure_hook(Enum, lambda member: member.value)

    @converter.register_structure_hook_factory(attrs.has)
    def _structure(cls: Any, converter: cattrs.Converter) -> Any:
        build: Any = make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True, **_renamed(cls))

        def structure(value: Any, kind: Any) -> Any:
            if not isinstance(value, dict):
                raise TypeError("expected an object")
            return build(value, kind)

        return structure

    @converter.register_unstructure_hook_factory(attrs.has)
    def _unstructure(cls: Any, converter: cattrs.Converter) -> Any:
        if cls is Money:
            return str
        return make_dict_unstructure_fn(cls, converter, **_renamed(cls))

    return converter


_CONVERTER = _make_converter()


def to_json(value: Any) -> Any:
    """attrs objects, UUIDs, times, Money and enums as JSON-able values, keys in camelCase."""
    return _CONVERTER.unstructure(value)


def to_plain(value: Any) -> Any:
    """`to_json` for what many will be sent: objects and arrays come marked, and are not walked through again."""
    plain = to_json(value)
    if type(plain) is dict:
        return PlainDict(plain)
    return PlainList(plain) if type(plain) is list else plain


def plain_maker(kind: type[T], *, omit: Sequence[str] = ()) -> Callable[[T], PlainDict]:
    """`to_plain` for one class, without the fields named, made now rather than in the rush that needs it first."""
    options = _renamed(kind) | {name: override(omit=True) for name in omit}
    unstructure = make_dict_unstructure_fn(kind, _CONVERTER, **options)
    return lambda value: PlainDict(unstructure(value))


def prepare(kind: type) -> None:
    """Makes the way from JSON to this class now rather than in the rush that needs it first."""
    _CONVERTER.get_structure_hook(kind)


def from_json(data: Any, kind: type[T]) -> T:
    """Builds `kind` from parsed JSON. An unknown or missing field or a wrong type raises VALIDATION_FAILED with
    `details.fields`: [{"field", "problem"}]. Validators of attrs fields raise ValueError to the same effect."""
    try:
        return _CONVERTER.structure(data, kind)
    except Exception as error:
        raise DoramiError("VALIDATION_FAILED", fields=_problems(error)) from None


def _problems(error: Exception) -> list[dict[str, str]]:
    found = []
    for line in cattrs.transform_error(error, path="$", format_exception=_describe):
        problem, _, path = line.rpartition(" @ ")
        named, mark, rest = problem.partition(_NAMED)
        if mark:
            problem, path = rest, f"{path}.{named}"
        field = ".".join(camel(part) for part in path.removeprefix("$").removeprefix(".").split("."))
        found.append({"field": field or "$", "problem": problem})
    return found


def _describe(error: BaseException, kind: type | None) -> str:
    if isinstance(error, KeyError):
        return "required field missing"
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        return "unknown field " + ", ".join(sorted(error.extra_fields))
    if isinstance(error, (TypeError, ValueError)) and error.args:
        text = str(error.args[0])[:200]
        # Validators speak for a field, but attrs calls them when the whole object is made.
        attribute = next((arg for arg in error.args[1:] if isinstance(arg, attrs.Attribute)), None)
        quoted = re.match(r"'(\w+)' (?=must |is )", text)
        if attribute is not None:
            return f"{attribute.name}{_NAMED}{text}"
        return f"{quoted[1]}{_NAMED}{text[quoted.end() :]}" if quoted else text
    return "invalid value"
