"""The faults QuickBooks answers with, in English and French: the table is `facts/faults.csv`.

Rows without a name are Intuit's own words for codes that no rule here uses; a fault rule can.

A row is called with the values for its placeholders and makes a `Fault`. A `Refusal` carries
everything its answer needs. Its `stage` is where the check stands in the order in which QuickBooks
validates: of several things wrong with a request, the earliest stage is told.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from simulator.documents import Document

VALIDATION = "ValidationFault"


class Stage(IntEnum):
    PROPERTIES = 1
    REQUIRED = 2
    IDS = 3
    LENGTHS = 4
    CHARACTERS = 5
    FORMATS = 6
    EXISTENCE = 7
    REFERENCES = 8
    BUSINESS = 9


class Refusal(Exception):
    """A refused request; `more` holds other faults of the same stage."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(faults[0].detail)
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Fault:
    code: str
    message: str
    detail: str
    stage: Stage = Stage.BUSINESS
    element: str | None = ""
    type: str = VALIDATION
    status: int = 400
    french: tuple[str, str] | None = None

    def in_language(self, language: str) -> Fault:
        if language == "fr" and self.french:
            return replace(self, message=self.french[0], detail=self.french[1])
        return self

    def as_error(self) -> Document:
        error: Document = {"Message": self.message, "Detail": self.detail, "code": self.code}
        if self.element is not None:
            error["element"] = self.element
        return error


class Row(NamedTuple):
    """`{0}` and so on are replaced by the arguments; an element of None is omitted."""

    code: str
    message: str
    detail: str
    stage: Stage = Stage.BUSINESS
    element: str | None = ""
    type: str = VALIDATION
    status: int = 400
    french: tuple[str, str] | None = None

    def __call__(self, *values: object) -> Fault:
        french = self.french
        return Fault(
            self.code,
            self.message.format(*values),
            self.detail.format(*values),
            self.stage,
            self.element.format(*values) if self.element else self.element,
            self.type,
            self.status,
            (french[0].format(*values), french[1].format(*values)) if french else None,
        )


def _row(told: dict[str, str]) -> Row:
    french = (told["french_message"], told["french_detail"]) if told["french_message"] else None
    return Row(
        told["code"],
        told["message"],
        told["detail"],
        Stage[told["stage"]],
        None if told["element"] == "-" else told["element"],
        told["type"] or VALIDATION,
        int(told["status"] or 400),
        french,
    )


def _load() -> list[tuple[str, Row]]:
    with (Path(__file__).parent / "facts" / "faults.csv").open(
        encoding="utf-8", newline=""
    ) as file:
        return [(told["name"], _row(told)) for told in csv.DictReader(file)]


_TABLE = _load()
ROWS = {name: row for name, row in _TABLE if name}
BY_CODE = {row.code: row for _, row in reversed(_TABLE)}

unreadable_property = ROWS["unreadable_property"]
required_missing = ROWS["required_missing"]
invalid_id = ROWS["invalid_id"]
wrong_length = ROWS["wrong_length"]
forbidden_characters = ROWS["forbidden_characters"]
malformed_email = ROWS["malformed_email"]
malformed_website = ROWS["malformed_website"]
malformed_date = ROWS["malformed_date"]
impossible_date = ROWS["impossible_date"]
malformed_number = ROWS["malformed_number"]
amount_out_of_range = ROWS["amount_out_of_range"]
malformed_boolean = ROWS["malformed_boolean"]
unknown_enumeration = ROWS["unknown_enumeration"]
unknown_currency = ROWS["unknown_currency"]
malformed_request_id = ROWS["malformed_request_id"]
not_found = ROWS["not_found"]
deleted_meanwhile = ROWS["deleted_meanwhile"]
stale = ROWS["stale"]
unknown_reference = ROWS["unknown_reference"]
unusable_item = ROWS["unusable_item"]
category_as_item = ROWS["category_as_item"]
cannot_link = ROWS["cannot_link"]
has_dependents = ROWS["has_dependents"]
no_name = ROWS["no_name"]
discount_incomplete = ROWS["discount_incomplete"]
wrong_line_tax_code = ROWS["wrong_line_tax_code"]
wrong_tax_code = ROWS["wrong_tax_code"]
too_deep = ROWS["too_deep"]
subscription_ended = ROWS["subscription_ended"]
books_closed = ROWS["books_closed"]
books_closed_by_password = ROWS["books_closed_by_password"]
books_closed_as_conflict = ROWS["books_closed_as_conflict"]
email_required = ROWS["email_required"]
wrong_account_type = ROWS["wrong_account_type"]
raw_card_number = ROWS["raw_card_number"]
deposited = ROWS["deposited"]
negative_amount = ROWS["negative_amount"]
parent_below_child = ROWS["parent_below_child"]
account_type_missing = ROWS["account_type_missing"]
_business_rule = ROWS["business_rule"]
_amount_differs = ROWS["amount_differs"]
_duplicate_number = ROWS["duplicate_number"]
_duplicate_name = ROWS["duplicate_name"]
_inactive = ROWS["inactive"]
unsupported_operation = ROWS["unsupported_operation"]
unsupported_object = ROWS["unsupported_object"]
invalid_content_type = ROWS["invalid_content_type"]
batch_too_large = ROWS["batch_too_large"]
batch_id_conflict = ROWS["batch_id_conflict"]
duplicate_request_id = ROWS["duplicate_request_id"]
unparsable_query = ROWS["unparsable_query"]
invalid_query = ROWS["invalid_query"]
internal_error = ROWS["internal_error"]
throttled = ROWS["throttled"]


# Rows that need a word or two worked out -------------------------------------------------------

KNOWN_PROPERTIES_TOLD = 54  # Intuit's own text is cut off about there


def unknown_property(name: str, class_name: str, known: list[str]) -> Fault:
    told = ", ".join(f'"{each}"' for each in known[:KNOWN_PROPERTIES_TOLD])
    cut = " [truncated]" if len(known) > KNOWN_PROPERTIES_TOLD else ""
    return unreadable_property(
        f'Unrecognized field "{name}" (class com.intuit.schema.finance.v3.{class_name}), '
        f"not marked as ignorable ({len(known)} known properties: {told}{cut}])\n"
    )


def wrong_type(name: str, expected: str) -> Fault:
    return unreadable_property(f"Can not deserialize instance of {expected} at [{name}]")


def inactive_reference(code: str) -> Fault:
    return replace(not_found(), stage=Stage.REFERENCES) if code == "610" else _inactive()


def business_rule(words: str, french: str | None = None) -> Fault:
    return _business_rule(words, french or words)


def tax_not_calculated() -> Fault:
    return business_rule(
        "We're sorry, QuickBooks encountered an error while calculating tax. Try reselecting the "
        "tax rate or reentering the product/service item and saving the form again."
    )


def amount_differs(amount: Decimal) -> Fault:
    text = f"{amount:,f}"
    return _amount_differs(text.rstrip("0").rstrip(".") if "." in text else text)


def duplicate_number(number: str, txn_type: str, txn_id: str) -> Fault:
    french_type = {"Invoice": "Facture"}.get(txn_type, txn_type)
    return _duplicate_number(number, txn_type, txn_id, french_type)


def duplicate_name(holder: str, detail: str) -> Fault:
    """`detail` is the wording of a period: `id` (today), `null` (2020) or `words` (2014-2019)."""
    tail = {
        "id": f"Id={holder}",
        "null": "null",
        "words": "Another customer, vendor or employee is already using this name. "
        "Please use a different name.",
    }[detail]
    fault = _duplicate_name(tail)
    return replace(fault, element="") if detail == "words" else fault


def usual(code: str) -> Fault:
    """QuickBooks' wording of a code, for fault rules that give only the code."""
    row = BY_CODE.get(code)
    if row is None:
        return replace(business_rule(f"{code} on demand"), code=code)
    return row(*_USUAL_VALUES.get(code, ("something",) * MAX_VALUES))


MAX_VALUES = 4  # placeholders in a row
_USUAL_VALUES: dict[str, tuple[str, ...]] = {
    "2010": ('Unrecognized field "BadJson"',),
    "2050": ("DocNumber", "45", "0", "21"),
    "2500": ("Names", "583"),
    "5010": ("Craig Carlson",),
    "6000": ("Unexpected Internal Error. (-30003)",) * 2,
    "6140": ("1001", "Invoice", "9", "Facture"),
    "6240": ("Id=1",),
    "10000": ("java.lang.Throwable: call failed with no information",),
}


# Envelopes -------------------------------------------------------------------------------------


def fault_body(faults: tuple[Fault, ...], language: str) -> Document:
    return {
        "Error": [fault.in_language(language).as_error() for fault in faults],
        "type": faults[0].type,
    }


def gateway_body(message: str, detail: str | None, code: str, kind: str, epoch: float) -> Document:
    """Bodies of the gateway, before the accounting service is reached, are in lower case."""
    error: Document = {"message": message, "detail": detail, "code": code, "element": None}
    return {
        "warnings": None,
        "intuitObject": None,
        "fault": {"error": [error], "type": kind},
        "report": None,
        "queryResponse": None,
        "batchItemResponse": [],
        "attachableResponse": [],
        "syncErrorResponse": None,
        "requestId": None,
        "time": int(epoch * 1000),
        "status": None,
        "cdcresponse": [],
    }
