"""JSON documents in QuickBooks' format: exact numbers, money to the cent, `0` for zero."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import Never, TypeAlias

import orjson

Json: TypeAlias = "bool | int | str | Decimal | list[Json] | dict[str, Json] | None"
Document: TypeAlias = dict[str, Json]

CENT = Decimal("0.01")
ZERO = Decimal(0)
MAX_NUMBER_DIGITS = 300  # digits; more than that exceeds a Java double, too
DIGITS_OF_INT64 = 18


class Malformed(ValueError):
    """The text is not JSON; the message is the parser's."""


def parse_json(text: bytes) -> Json:
    try:
        parsed: Json = json.loads(
            text.decode(),
            parse_float=_read_decimal,
            parse_int=_read_integer,
            parse_constant=_refuse_constant,
        )
        if b"\\u" in text:
            dump_json(parsed)  # a lone surrogate can be parsed, but not encoded again
    except UnicodeDecodeError as error:
        offending = text[error.start]
        raise Malformed(f"Invalid UTF-8 middle byte {offending:#x}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise Malformed(str(error)) from error
    return parsed


def dump_json(value: object) -> bytes:
    return orjson.dumps(value, default=_write_exactly)


def _read_decimal(text: str) -> Decimal:
    number = Decimal(text)
    if abs(number.adjusted()) > MAX_NUMBER_DIGITS:
        raise ValueError(f"Numeric value ({text[:20]}) out of range")
    return number


def _read_integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= DIGITS_OF_INT64 else _read_decimal(text)


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"Non-standard token '{name}'")


def _write_exactly(value: object) -> object:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f") if value else "0")
    raise TypeError(f"{type(value).__name__} is not JSON")


def money(value: Decimal | int) -> Decimal:
    """Rounded half up to the cent, like QuickBooks."""
    return Decimal(value).quantize(CENT, ROUND_HALF_UP)


def plain(value: Decimal) -> Decimal:
    """A quantity, price or rate without trailing zeros: 75, 4.5, 12.75."""
    return value.quantize(Decimal(1)) if value == value.to_integral() else value.normalize()


# Reading from documents that validation has already checked. ----------------------------------


def text_of(document: Document, key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""


def number_of(document: Document, key: str) -> Decimal:
    value = document.get(key)
    if isinstance(value, Decimal):
        return value
    return Decimal(value) if isinstance(value, int) else ZERO


def part_of(document: Document, key: str) -> Document:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def parts_of(document: Document, key: str) -> list[Document]:
    value = document.get(key)
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def ref_of(document: Document, key: str) -> str:
    return text_of(part_of(document, key), "value")


def in_order(document: Document, keys: Iterable[str]) -> Document:
    """The document with the listed keys first, in this order, then the others."""
    ordered = {key: document[key] for key in keys if key in document}
    if len(ordered) < len(document):
        ordered.update(document)
    return ordered
