"""Entities with a special shape: recurring transactions, exchange rates, tax service, uploads."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

from simulator import refusals
from simulator.books import Books
from simulator.documents import Document, Json, parse_json, part_of, parts_of, ref_of, text_of
from simulator.refusals import Refusal, fault_body
from simulator.schema import SCHEMAS, entity_named
from simulator.validation import Reader

# Recurring transactions -----------------------------------------------------------------------
# On the wire: {"Invoice": {…, "RecurringInfo": {…}}}, the id inside; stored with it outside too.


def save_recurring(books: Books, body: Json) -> Document:
    kind, inner = _template_in(body)
    object_id = text_of(inner, "Id")
    before = _current_recurring(books, object_id, inner) if object_id else None
    if not text_of(part_of(inner, "RecurringInfo"), "Name"):
        raise Refusal(refusals.required_missing("RecurringInfo.Name"))
    books.check_subscription()
    object_id = object_id or books.world.next_id(books.company, SCHEMAS["RecurringTransaction"])
    system = books.system_fields(object_id, before)
    template: Document = {**inner, **system}
    stored: Document = {**system, "Type": kind, kind: template}
    books.world.put(books.company, "RecurringTransaction", stored)
    return shown_recurring(stored)


def delete_recurring(books: Books, body: Json) -> Document:
    kind, inner = _template_in(body)
    before = _current_recurring(books, text_of(inner, "Id"), inner)
    books.check_subscription()
    object_id = text_of(before, "Id")
    books.world.delete(books.company, "RecurringTransaction", object_id)
    return {kind: {"domain": "QBO", "status": "Deleted", "Id": object_id}}


def shown_recurring(stored: Document) -> Document:
    kind = text_of(stored, "Type")
    return {kind: stored[kind]}


def _template_in(body: Json) -> tuple[str, Document]:
    for name, inner in body.items() if isinstance(body, dict) else ():
        entity = entity_named(name)
        if entity and isinstance(inner, dict):
            return entity.name, Reader().read_generic(inner)
    raise Refusal(refusals.required_missing("RecurringTransaction"))


def _current_recurring(books: Books, object_id: str, inner: Document) -> Document:
    before = books.company.get("RecurringTransaction", object_id)
    if before is None:
        raise Refusal(refusals.not_found())
    if text_of(inner, "SyncToken") != text_of(before, "SyncToken"):
        raise Refusal(refusals.stale(books.company.switches.stale_name))
    return before


# Exchange rates -------------------------------------------------------------------------------


def save_exchange_rate(books: Books, body: Json) -> Document:
    """Identified by its source currency; it has no id in answers."""
    sent = Reader().read_generic(body) if isinstance(body, dict) else {}
    code = text_of(sent, "SourceCurrencyCode")
    if not code:
        raise Refusal(refusals.required_missing("SourceCurrencyCode"))
    rate = sent.get("Rate")
    if not isinstance(rate, int | Decimal) or isinstance(rate, bool):
        raise Refusal(refusals.required_missing("Rate"))
    books.check_subscription()
    before = books.company.get("ExchangeRate", code)
    document: Document = {
        "SourceCurrencyCode": code,
        "TargetCurrencyCode": books.company.home_currency,
        "Rate": rate,
        "AsOfDate": text_of(sent, "AsOfDate") or books.today(),
        **books.system_fields(code, before),
    }
    books.world.put(books.company, "ExchangeRate", document)
    return document


# Tax service ----------------------------------------------------------------------------------


def create_tax_code(books: Books, body: Json) -> Document:
    """Creates a tax code with new or existing rates."""
    name = text_of(body, "TaxCode") if isinstance(body, dict) else ""
    details = parts_of(body, "TaxRateDetails") if isinstance(body, dict) else []
    if not name or not details:
        raise Refusal(refusals.required_missing("TaxRateDetails" if name else "TaxCode"))
    for code in books.company.all("TaxCode").values():
        if text_of(code, "Name") == name:
            detail = books.company.switches.duplicate_name_detail
            raise Refusal(refusals.duplicate_name(text_of(code, "Id"), detail))
    books.check_subscription()
    told = [_tax_rate(books, each) for each in details]
    code_id = books.world.next_id(books.company, SCHEMAS["TaxCode"])
    rates: list[Json] = [
        {
            "TaxRateRef": {"value": each["TaxRateId"], "name": each["TaxRateName"]},
            "TaxTypeApplicable": "TaxOnAmount",
            "TaxOrder": 0,
        }
        for each in told
    ]
    code = {
        "Name": name,
        "Description": name,
        "Active": True,
        "Taxable": True,
        "TaxGroup": True,
        "SalesTaxRateList": {"TaxRateDetail": rates},
        "PurchaseTaxRateList": {"TaxRateDetail": []},
        **books.system_fields(code_id, None),
    }
    books.world.put(books.company, "TaxCode", code)
    return {"TaxCode": name, "TaxCodeId": code_id, "TaxRateDetails": [*told]}


def _tax_rate(books: Books, sent: Document) -> Document:
    known = books.company.get("TaxRate", str(sent.get("TaxRateId", "")))
    if known:
        name, value, rate_id = text_of(known, "Name"), known["RateValue"], text_of(known, "Id")
        agency = ref_of(known, "AgencyRef")
    else:
        name, agency = text_of(sent, "TaxRateName"), str(sent.get("TaxAgencyId", "1"))
        try:
            value = Decimal(str(sent.get("RateValue")))
        except ArithmeticError:
            raise Refusal(refusals.required_missing("RateValue")) from None
        if not name or not value.is_finite():
            raise Refusal(refusals.required_missing("TaxRateName"))
        if books.company.get("TaxAgency", agency) is None:
            raise Refusal(refusals.unknown_reference("TaxAgency", agency))
        rate_id = books.world.next_id(books.company, SCHEMAS["TaxRate"])
        rate: Document = {
            "Name": name,
            "Description": name,
            "Active": True,
            "RateValue": value,
            "AgencyRef": {"value": agency},
            **books.system_fields(rate_id, None),
        }
        books.world.put(books.company, "TaxRate", rate)
    return {
        "TaxRateName": name,
        "TaxRateId": rate_id,
        "RateValue": value,
        "TaxAgencyId": agency,
        "TaxApplicableOn": text_of(sent, "TaxApplicableOn") or "Sales",
    }


# Uploads --------------------------------------------------------------------------------------

_METADATA = re.compile(rb'name="file_metadata_\w+".*?\r?\n\s*\r?\n(.*?)\r?\n\s*--', re.DOTALL)
_CONTENT = re.compile(rb'name="file_content_\w+".*?\r?\n\s*\r?\n(.*?)\r?\n\s*--', re.DOTALL)


def upload(books: Books, raw: bytes) -> Document:
    """Files are counted and described, not stored. A refused file is reported inside a 200."""
    contents = [match.group(1) for match in _CONTENT.finditer(raw)]
    sizes = [len(content) for content in contents]
    responses: list[Json] = []
    for index, metadata in enumerate(_METADATA.findall(raw)):
        try:
            size = sizes[index] if index < len(sizes) else 0
            responses.append({"Attachable": _attach(books, parse_json(metadata.strip()), size)})
        except Refusal as refusal:
            told = fault_body(refusal.faults, books.company.switches.language)
            responses.append({"Fault": told})
    if not responses:
        raise Refusal(refusals.required_missing("file_metadata"))
    return {"AttachableResponse": responses}


def _attach(books: Books, metadata: Json, size: int) -> Document:
    sent = Reader().read_generic(metadata) if isinstance(metadata, dict) else {}
    books.check_subscription()
    references: list[Json] = []
    for entity, object_id, reference in _attached_to(sent):
        if books.company.get(entity, object_id) is None:
            words = f"The entity {entity} {object_id} that you are trying to link does not exist."
            raise Refusal(refusals.business_rule(f"{words} {entity} {object_id}"))
        references.append({"IncludeOnSend": False, **reference})
    object_id = books.world.next_id(books.company, SCHEMAS["Attachable"])
    name = text_of(sent, "FileName")
    document: Document = {
        **sent,
        "FileAccessUri": f"/v3/company/{books.company.realm}/download/{object_id}",
        "TempDownloadUri": f"https://files.invalid/{books.world.chance.hex(16)}{name}",
        "Size": size,
        **books.system_fields(object_id, None),
        "AttachableRef": references,
    }
    books.world.put(books.company, "Attachable", document)
    return document


def _attached_to(sent: Document) -> Iterable[tuple[str, str, Document]]:
    for reference in parts_of(sent, "AttachableRef"):
        target = part_of(reference, "EntityRef")
        entity = entity_named(text_of(target, "type"))
        if entity:
            yield entity.name, str(target.get("value", "")), reference
