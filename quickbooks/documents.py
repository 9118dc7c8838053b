"""Documents for QuickBooks as values: written as JSON, compared with each other, and merged. Pure.

What is in a document of each record type is decided in `kinds/`.
"""

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from models.base import Json
from models.sales import Record, RecordType
from outbox.company import Fault, Remote

Document = dict[str, Any]

# What clears a property in a sparse update: {} for objects, "" for texts, both found by others;
# null would mean "not sent".
CLEARED: Document = {
    "GivenName": "",
    "FamilyName": "",
    "CompanyName": "",
    "PrimaryEmailAddr": {},
    "PrimaryPhone": {},
    "BillAddr": {},
    "CustomerMemo": {"value": ""},
    "PrivateNote": "",
    "TxnTaxDetail": {"TotalTax": Decimal(0)},
}
# QuickBooks computes with these together: sending one without the other would restore its own
# result.
_TOGETHER = ("Line", "TxnTaxDetail", "ApplyTaxAfterDiscount")


class NotWritable(Exception):
    """QuickBooks would refuse this record, and only a person can change that."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.code)
        self.fault = fault


class Missing(Exception):
    """A record that must be in QuickBooks first has no link."""

    def __init__(self, record: Record) -> None:
        super().__init__(f"{record.type} {record.id}")
        self.record = record


def linked(links: Mapping[Record, Remote], type_: RecordType, id_: int) -> str:
    """The id of a record's counterpart. Raises Missing."""
    record = Record(type_, id_)
    if record not in links:
        raise Missing(record)
    return links[record].id


def fallback_item(settings: Json, field: str | None = None) -> str:
    """The id of the item for amounts without a product. Raises NotWritable; `field` fixes that."""
    chosen = settings.get("fallback_item_id")
    if not chosen:
        raise NotWritable(Fault("no_fallback_item", field=field))
    return str(chosen)


def in_dollars(settings: Json) -> Document:
    """The currency, which a company with several currencies wants to be told."""
    return {"CurrencyRef": {"value": "USD"}} if settings.get("multicurrency") else {}


def dumps(value: object) -> str:
    """JSON with every `Decimal` written digit by digit: 100.00 stays 100.00."""
    match value:
        case dict():
            return (
                "{" + ",".join(f"{_quoted(key)}:{dumps(each)}" for key, each in value.items()) + "}"
            )
        case list() | tuple():
            return "[" + ",".join(map(dumps, value)) + "]"
        case Decimal():
            return format(value, "f")
        case float():
            raise TypeError("Money must not become a float.")
        case _:
            return _quoted(value)


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def sparse(remote: Remote, changes: Document) -> Document:
    """The body of an update that changes nothing but `changes`.

    Without `sparse`, QuickBooks clears every field that is not sent; with an old SyncToken it
    refuses (Intuit's guide, *Basic field definitions*, and each entity's API reference).
    """
    return {"Id": remote.id, "SyncToken": remote.version, "sparse": True, **changes}


def changed(before: Document, now: Document) -> Document:
    """What an update must contain to turn `before` into `now`: new values, and cleared ones."""
    changes = {key: value for key, value in now.items() if before.get(key) != value}
    changes |= {key: CLEARED[key] for key in before if key not in now and key in CLEARED}
    return completed(changes, now, before, {})


def completed(
    changes: Document, document: Document, base: Document, found: Mapping[str, Any]
) -> Document:
    """The changes together with what must be sent along; nothing if there are none.

    Tax that a document no longer has is cleared if it is in QuickBooks, or was sent: otherwise it
    would be added to a tax line.
    """
    if not any(key in changes for key in _TOGETHER):
        return changes
    whole = changes | {key: document[key] for key in _TOGETHER if key in document}
    stands = "TxnTaxDetail" in base or total_tax(found) != 0
    if "TxnTaxDetail" not in document and "Line" in whole and stands:
        whole["TxnTaxDetail"] = CLEARED["TxnTaxDetail"]
    return whole


def total_tax(found: Mapping[str, Any]) -> Decimal:
    """The tax of a document, in dollars; 0 where it tells none."""
    detail = found.get("TxnTaxDetail")
    told = detail.get("TotalTax") if isinstance(detail, dict) else None
    try:
        return Decimal(str(told or 0))
    except InvalidOperation:
        return Decimal(0)


def is_taxed(document: Mapping[str, Any]) -> bool:
    """Whether a line of it is taxable: QuickBooks may compute its tax."""
    details = [line.get("SalesItemLineDetail", {}) for line in document.get("Line", ())]
    return any(detail.get("TaxCodeRef", {}).get("value") == "TAX" for detail in details)


def merged(base: Document, changes: Document) -> Document:
    """The base with the changes applied: cleared properties are removed."""
    whole = {**base, **changes}
    return {key: value for key, value in whole.items() if value != CLEARED.get(key, ...)}


def parsed(text: str | None) -> Document | None:
    """A stored document (`dumps`), with its amounts as `Decimal`."""
    document: Document | None = json.loads(text, parse_float=Decimal) if text else None
    return document
