"""An invoice with all its lines; dates as given, amounts in dollars as we computed them."""

from collections.abc import Mapping
from decimal import Decimal

from languages import N_
from models.base import Json
from models.sales import Record, RecordType
from outbox.company import Fault, Remote
from quickbooks import discount, lines, tax
from quickbooks.cleaning import Cleaned, SentText, clean_line, clean_text, each_cleaned
from quickbooks.documents import Document, NotWritable, in_dollars, linked
from quickbooks.matching import has_same_amounts, is_marked, is_unmarked
from quickbooks.questions import Question, on_day

ENTITY = "Invoice"
PAGE: tuple[str, str | None] = ("invoice", "txnId")
NAME: str | None = None
USES: tuple[str, ...] = ("Item", "Customer", "Account", "TaxCode")
GONE = "invoice_gone"
VOIDING: Mapping[str, str] = {"operation": "void"}
NOUN = N_("invoice")
EFFECT = N_("Saved here, but QuickBooks does not have this version. Payments may wait for it.")
ACCOUNT_FOR: str | None = N_("discounts")
IS_CREATED_ONLY = False
MAY_BE_ENTERED = True

# for a DocNumber: QuickBooks assigns it, whatever the company's setting
GENERATED = "AUTO_GENERATE"

_NUMBER = SentText("number", clean_line, 21)
_MEMO = SentText("memo", clean_text, 1000)
FIELDS: tuple[SentText, ...] = (_NUMBER, _MEMO)


def document(payload: Json, links: Mapping[Record, Remote], settings: Json) -> Document:
    """The invoice with all its lines, because an update replaces them as a set (Intuit's API
    reference, Invoice). Raises NotWritable or Missing."""
    if not payload["lines"]:
        raise NotWritable(Fault("no_lines", field="lines"))
    if Decimal(payload["total"]) < 0:
        raise NotWritable(
            Fault("negative_total", about={"amount": payload["total"]}, field="lines")
        )
    found: Document = {"CustomerRef": {"value": linked(links, RecordType.LEAD, payload["lead_id"])}}
    if settings.get("numbers") == "generated":
        found["DocNumber"] = GENERATED
    elif carries_our_number(settings):
        found["DocNumber"] = number_of(payload)
    found["TxnDate"] = payload["issued_on"]
    found["DueDate"] = payload["due_on"]
    found["Line"] = lines.of(payload, links, settings)
    if tax_detail := tax.detail(payload, settings):
        found["TxnTaxDetail"] = tax_detail
    if discount.amount_of(payload) and tax.taxes_lines(payload, settings):
        found["ApplyTaxAfterDiscount"] = True  # as on our invoice
    if memo := _MEMO.of(payload):
        found["CustomerMemo"] = {"value": memo}
    # Our number and mark, by which the invoice is found whatever number QuickBooks gave it.
    found["PrivateNote"] = f"DunaHub invoice {number_of(payload)}, {payload['mark']}"
    return found | in_dollars(settings)


def as_set_then(document: Document, payload: Json, base: Document, sent: Json) -> Document:
    """The document without what only a changed setting changes in `base`, which was made from the
    snapshot `sent`: who numbers it, and which items its lines use."""
    found = dict(document)
    if not sent:
        return found
    if "DocNumber" not in base and number_of(sent) == number_of(payload):
        found.pop("DocNumber", None)  # QuickBooks chose it, and it may be on the client's paper
    if _products(sent) == _products(payload) and _unassigned(base) == _unassigned(document):
        found["Line"] = base["Line"]
    return found


def _products(payload: Json) -> list[int | None]:
    return [line["product_id"] for line in payload["lines"]]


def _unassigned(document: Document) -> list[Document]:
    """The lines without their items and accounts."""
    return [
        {
            key: {one: value for one, value in part.items() if one not in _ASSIGNED}
            if isinstance(part, dict)
            else part
            for key, part in line.items()
        }
        for line in document["Line"]
    ]


_ASSIGNED = ("ItemRef", "DiscountAccountRef")


def number_of(payload: Json) -> str:
    """Our number as a DocNumber: at most 21 characters (Intuit's API reference, Invoice)."""
    return _NUMBER.of(payload)


def carries_our_number(settings: Json) -> bool:
    """False in companies that number their forms themselves, where our number could be taken twice.

    Intuit's API reference, Invoice: don't send a DocNumber if CustomTxnNumbers is off.
    """
    return settings.get("numbers") not in ("quickbooks", "generated")


def find_by(payload: Json, links: Mapping[Record, Remote], settings: Json) -> Question:
    """By our number, where QuickBooks has it. Raises Missing."""
    if carries_our_number(settings):
        return Question("DocNumber", number_of(payload))
    return by_day(payload, links)


def by_day(payload: Json, links: Mapping[Record, Remote]) -> Question:
    """By what every form can be asked for; the mark is in its note. Raises Missing."""
    customer = linked(links, RecordType.LEAD, payload["lead_id"])
    return Question("CustomerRef", customer, on_day(payload["issued_on"]))


def marks(document: Document) -> list[Question]:
    """Its number, if it is ours; its customer and day."""
    day = on_day(str(document["TxnDate"]))
    customer = Question("CustomerRef", str(document["CustomerRef"]["value"]), day)
    number = document.get("DocNumber", GENERATED)
    return [customer] if number == GENERATED else [Question("DocNumber", str(number)), customer]


def is_same(document: Document, found: Json) -> bool:
    """It has our mark."""
    return is_marked(document, found)


def perhaps_made(document: Document, found: Json) -> bool:
    """An invoice of its customer, with the same amounts on its lines."""
    return is_unmarked(document, found) and has_same_amounts(document, found)


def cleanings(payload: Json) -> list[Cleaned]:
    """The texts that QuickBooks gets in another form, for people to see."""
    return [*each_cleaned(FIELDS, payload), *lines.cleanings(payload)]
