"""Checks a client's document against the schema, in QuickBooks' order of checks.

One pass collects all errors; those of the earliest stage are reported (see `Stage`). The result
holds only known, writable properties with values of the right type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from simulator import refusals
from simulator.clock import parse_day
from simulator.documents import Document, Json, money, plain
from simulator.refusals import Fault, Refusal
from simulator.schema import (
    AsSent,
    Computed,
    Day,
    Entity,
    Flag,
    Kind,
    Many,
    Number,
    OneOf,
    Part,
    Ref,
    Text,
)

MAX_NUMBER = Decimal("99999999999")  # QuickBooks' limit for amounts, prices and quantities
MAX_ADDRESS_LENGTH = 2000  # Line1 to Line5 together
# Distinguishes a malformed date (2060) from one that does not exist (2070).
_DATE_SHAPE = re.compile(r"\d{4}-\d{2}-\d{2}([T+Z-].*)?$")
_EMAIL = re.compile(r"[^@\s,;]+@[^@\s,;]+\.[^@\s,;]+$")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#]+\S*$")
_ID = re.compile(r"\d+$")


class Reader:
    """Collects the faults of one document."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def refuse(self, fault: Fault) -> None:
        self.faults.append(fault)

    def raise_first(self, several: bool = False) -> None:
        """Raises the earliest fault, or with `several` all faults of its stage."""
        if not self.faults:
            return
        first = min(self.faults, key=lambda fault: fault.stage)
        if several:
            raise Refusal(*(fault for fault in self.faults if fault.stage == first.stage))
        raise Refusal(first)

    def read(self, body: Json, entity: Entity) -> Document:
        if not isinstance(body, dict):
            raise Refusal(refusals.wrong_type(entity.name, f"com.intuit…{entity.name}"))
        if not entity.fields:
            return self.read_generic(body)
        return self._read_part(body, entity.name, entity.fields, "")

    def read_generic(self, body: Document) -> Document:
        document: Document = {key: value for key, value in body.items() if value is not None}
        for computed in ("MetaData", "domain", "status"):
            document.pop(computed, None)
        for key in ("Id", "SyncToken"):
            if key in document:
                document[key] = self._as_text(document[key], key) or ""
        return document

    def _read_part(
        self, body: Document, class_name: str, fields: Mapping[str, Kind], path: str
    ) -> Document:
        document: Document = {}
        for name, value in body.items():
            kind = fields.get(name)
            if kind is None:
                self.refuse(refusals.unknown_property(name, class_name, list(fields)))
                continue
            if value is None:  # QuickBooks treats null as «not sent»
                continue
            element = f"{path}.{name}" if path else name
            read = self._read_value(value, kind, element)
            if read is not None:
                document[name] = read
        if class_name == "PhysicalAddress":
            self._check_address_length(document, path)
        return document

    def _check_address_length(self, address: Document, path: str) -> None:
        lines = [address.get(f"Line{n}") for n in range(1, 6)]
        length = sum(len(line) for line in lines if isinstance(line, str))
        if length > MAX_ADDRESS_LENGTH:
            self.refuse(refusals.wrong_length(path, length, 0, MAX_ADDRESS_LENGTH))

    def _read_value(self, value: Json, kind: Kind, element: str) -> Json:
        match kind:
            case Text():
                return self._read_text(value, kind, element)
            case Number():
                return self._read_number(value, kind, element)
            case Ref():
                return self._read_ref(value, element)
            case Flag():
                return self._read_flag(value, element)
            case Day():
                return self._read_day(value, element)
            case OneOf():
                return self._read_enumeration(value, kind, element)
            case Part():
                if isinstance(value, dict):
                    return self._read_part(value, kind.class_name, kind.fields, element)
                self.refuse(refusals.wrong_type(element, kind.class_name))
                return None
            case Many():
                return self._read_many(value, kind, element)
            case AsSent():
                return value
            case Computed():
                return None

    def _read_many(self, value: Json, kind: Many, element: str) -> Json:
        if not isinstance(value, list):
            self.refuse(refusals.wrong_type(element, "java.util.ArrayList"))
            return None
        read = (self._read_value(each, kind.of, element) for each in value)
        return [each for each in read if each is not None]

    def _as_text(self, value: Json, element: str) -> str | None:
        """Strings as they are; bare numbers and booleans become text, as in Intuit's parser."""
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | Decimal):
            return str(value)
        self.refuse(refusals.wrong_type(element, "java.lang.String"))
        return None

    def _read_text(self, value: Json, kind: Text, element: str) -> str | None:
        text = self._as_text(value, element)
        if text is None:
            return None
        name = element.rpartition(".")[2]
        if kind.longest is not None and len(text) > kind.longest:
            self.refuse(refusals.wrong_length(name, len(text), 0, kind.longest))
        if any(character in kind.forbids for character in text):
            self.refuse(refusals.forbidden_characters(name, text))
        if text and kind.format == "email" and not _is_email_list(text):
            self.refuse(refusals.malformed_email(text))
        if text and kind.format == "url" and not _URL.match(text):
            self.refuse(refusals.malformed_website(text))
        return text

    def _read_number(self, value: Json, kind: Number, element: str) -> Decimal | None:
        if isinstance(value, str):
            if not value.strip():
                return None
            try:
                number = Decimal(value.strip())
            except InvalidOperation:
                self.refuse(refusals.malformed_number(element, value))
                return None
        elif isinstance(value, Decimal | int) and not isinstance(value, bool):
            number = Decimal(value)
        else:
            self.refuse(refusals.wrong_type(element, "java.math.BigDecimal"))
            return None
        if not number.is_finite():
            self.refuse(refusals.malformed_number(element, str(value)))
            return None
        if abs(number) > MAX_NUMBER:
            self.refuse(refusals.amount_out_of_range(element, number))
            return None
        number = number.quantize(Decimal("1E-10")) if number.as_tuple().exponent else number
        return money(number) if kind.money else plain(number)

    def _read_ref(self, value: Json, element: str) -> Document | None:
        if isinstance(value, str | int) and not isinstance(value, bool):
            return {"value": str(value)}  # QuickBooks accepts a bare value, too
        if not isinstance(value, dict):
            self.refuse(refusals.wrong_type(element, "ReferenceType"))
            return None
        unknown = [name for name in value if name not in ("value", "name", "type")]
        if unknown:
            self.refuse(
                refusals.unknown_property(unknown[0], "ReferenceType", ["value", "name", "type"])
            )
        sent = value.get("value")
        text = self._as_text(sent, element) if sent is not None else ""
        reference: Document = {"value": text or ""}
        name = value.get("name")
        if isinstance(name, str):
            reference["name"] = name
        return reference

    def _read_flag(self, value: Json, element: str) -> bool | None:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if value == "":
            return None
        if isinstance(value, str | int | Decimal):
            self.refuse(refusals.malformed_boolean(element, str(value)))
        else:
            self.refuse(refusals.wrong_type(element, "java.lang.Boolean"))
        return None

    def _read_day(self, value: Json, element: str) -> str | None:
        text = self._as_text(value, element)
        if not text:
            return None
        if not _DATE_SHAPE.match(text):
            self.refuse(refusals.malformed_date(element, text))
            return None
        try:
            return parse_day(text).isoformat()
        except ValueError:
            self.refuse(refusals.impossible_date(element, text))
            return None

    def _read_enumeration(self, value: Json, kind: OneOf, element: str) -> str | None:
        text = self._as_text(value, element)
        if not text:
            return None
        if text not in kind.values:
            self.refuse(refusals.unknown_enumeration(element, text))
            return None
        return text


def _is_email_list(text: str) -> bool:
    """One address, or several separated by commas, as QuickBooks accepts them."""
    return all(_EMAIL.match(address.strip()) for address in text.split(","))


def check_required(document: Document, entity: Entity, reader: Reader) -> None:
    for parameter in entity.required:
        if document.get(parameter) in (None, "", [], {}, {"value": ""}):
            reader.refuse(refusals.required_missing(parameter))


def check_id(value: str, reader: Reader) -> None:
    if not _ID.match(value):
        reader.refuse(refusals.invalid_id(value))


def checked_path_id(value: str) -> str:
    if not _ID.match(value):
        raise Refusal(refusals.invalid_id(value))
    return value
