"""Strict reading of what a request carries: JSON bodies, query strings, urlencoded forms."""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, NoReturn, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

import attrs

from dorami_core.base.errors import invalid
from dorami_core.base.structure import camel, from_json

MAX_BODY_BYTES = 1024 * 1024
MAX_FORM_FIELDS = 1000
_SAFE_INTEGER = 2**53 - 1
_BOOLEANS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}


def refuse(field: str, problem: str) -> NoReturn:
    raise invalid(field, problem)


def parse_json(data: bytes, content_type: str) -> Any:
    """The JSON value of a body; no body at all is an empty object.

    Another content type, malformed JSON, NaN, and integers that JavaScript could not hold are VALIDATION_FAILED.
    """
    if not data:
        return {}
    if content_type.partition(";")[0].strip().lower() != "application/json":
        refuse("Content-Type", "must be application/json")
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_no_number, parse_int=_integer, parse_float=_float)
    except RecursionError:
        refuse("$", "nested too deeply")
    except ValueError:
        refuse("$", "malformed JSON")


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        refuse("$", "a number is out of range")
    return number


def _integer(text: str) -> int:
    if len(text) > 17 or abs(number := int(text)) > _SAFE_INTEGER:
        refuse("$", "a number is out of range")
    return number


def structure_body(value: Any, kind: type | None) -> Any:
    """Builds `kind`; `dict` takes any object; None takes only an empty one."""
    if kind is not None and kind is not dict:
        return from_json(value, kind)
    if not isinstance(value, dict):
        refuse("$", "expected an object")
    if kind is None and value:
        refuse("$", "unknown field " + ", ".join(sorted(map(str, value))[:10]))
    return value


def parse_query(args: Mapping[str, str], kind: type) -> Any:
    """The query string as `kind`: its texts become numbers and booleans where a field asks for them.

    `lang` chooses the language and is left out unless the class has it.
    """
    hints = _hints(kind)
    return from_json(
        {name: _from_text(text, hints.get(name)) for name, text in args.items() if name != "lang" or name in hints},
        kind,
    )


def parse_form(data: bytes, content_type: str) -> dict[str, str]:
    """The fields of an urlencoded form, the last value of each name."""
    if not data:
        return {}
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        refuse("Content-Type", "must be application/x-www-form-urlencoded")
    try:
        text = data.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FORM_FIELDS)
    except ValueError:
        refuse("$", "malformed form")
    return dict(pairs)


def structure_form(fields: Mapping[str, str], kind: type) -> Any:
    """Builds `kind` from a form's strings; numbers and booleans are converted where a field asks for them."""
    hints = _hints(kind)
    return from_json({name: _from_text(text, hints.get(name)) for name, text in fields.items()}, kind)


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    """Hints by the name that a client uses."""
    if not attrs.has(kind):
        return {}
    names = {field.name for field in attrs.fields(kind)}
    return {camel(name): hint for name, hint in get_type_hints(kind).items() if name in names}


def _from_text(text: str, hint: Any) -> Any:
    """What cannot be converted stays a string, and is refused as one with its field's name."""
    options = set(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else {hint}
    if str in options:
        return text
    if type(None) in options and text == "":
        return None
    if bool in options:
        return _BOOLEANS.get(text.lower(), text)
    if int in options and re.fullmatch(r"-?[0-9]{1,16}", text):
        return int(text)
    if float in options and re.fullmatch(r"-?[0-9]{1,16}(\.[0-9]{1,16})?", text):
        return float(text)
    return text
