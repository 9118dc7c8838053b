"""The lines of a sales form, in dollars as we computed them."""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal

from models.base import Json
from models.sales import Record, RecordType
from outbox.company import Remote
from quickbooks import discount, tax
from quickbooks.amounts import dollars, shortest, unit_price
from quickbooks.cleaning import Cleaned, clean_text, cleaned
from quickbooks.documents import Document, fallback_item, linked

DESCRIPTION_LONGEST = 4000


def of(payload: Json, links: Mapping[Record, Remote], settings: Json) -> list[Document]:
    """The lines of a form, with its tax and its discount where these are lines, too.

    Raises NotWritable or Missing.
    """
    found = [_line(line, payload, links, settings) for line in payload["lines"]]
    amount = Decimal(payload["tax_amount"])
    if amount and tax.mode_of(settings) == "line":
        found.append(tax.line(amount, payload, settings))
    if discount.amount_of(payload):
        found.append(discount.line(payload, settings))
    return found


def _line(line: Json, payload: Json, links: Mapping[Record, Remote], settings: Json) -> Document:
    amount = dollars(line["amount"])
    quantity, price = Decimal(line["quantity"]), unit_price(line["unit_price"])
    description = clean_text(
        line["description"] or line.get("product_name") or "", DESCRIPTION_LONGEST
    )
    detail: Document = {"ItemRef": {"value": _item_of(line, links, settings)}}
    if _quickbooks_agrees(quantity, price, amount):
        detail |= {"Qty": shortest(quantity), "UnitPrice": shortest(price)}
    else:
        asked = f"{shortest(quantity)} x {shortest(price)}"
        description = clean_text(f"{asked} {description}", DESCRIPTION_LONGEST)
    is_taxed = line["taxable"] and tax.taxes_lines(payload, settings)
    detail["TaxCodeRef"] = {"value": "TAX" if is_taxed else "NON"}
    found: Document = {"Amount": amount, "DetailType": "SalesItemLineDetail"}
    if description:
        found["Description"] = description
    return found | {"SalesItemLineDetail": detail}


def _item_of(line: Json, links: Mapping[Record, Remote], settings: Json) -> str:
    if line["product_id"] is not None:
        return linked(links, RecordType.PRODUCT, line["product_id"])
    return fallback_item(settings, field="lines")


def _quickbooks_agrees(quantity: Decimal, price: Decimal, amount: Decimal) -> bool:
    """Whether QuickBooks computes the same amount, however it rounds half cents (its fault 6070).

    Otherwise the line is sent as an amount only.
    """
    exact = quantity * price
    nearest = exact.quantize(Decimal("0.01"), ROUND_HALF_UP)
    is_half = abs(exact * 100 % 1) == Decimal("0.5")
    return nearest == amount and not is_half and quantity != 0


def cleanings(payload: Json) -> list[Cleaned]:
    """The descriptions that QuickBooks gets in another form, for people to see."""
    told = [line["description"] for line in payload["lines"]]
    return [
        change
        for text in told
        for change in cleaned("lines", text, clean_text(text, DESCRIPTION_LONGEST))
    ]
