"""The discount of an invoice, as QuickBooks' own kind of line. Pure."""

from decimal import Decimal

from models.base import Json
from outbox.company import Fault
from quickbooks.documents import Document, NotWritable


def amount_of(payload: Json) -> Decimal:
    """What is taken off the subtotal, in dollars. Older snapshots have no discount."""
    return Decimal(payload.get("discount_amount", "0"))


def line(payload: Json, settings: Json) -> Document:
    """The discount as an amount, also if it was given as a percentage. Raises NotWritable.

    QuickBooks would take a percentage of its own subtotal, which includes our line of tax, and
    round it as it likes. A positive amount is taken off; at most one such line, which needs
    AllowDiscount; without an account QuickBooks takes its own (Intuit's API reference, Invoice).
    """
    if settings.get("allows_discounts") is False:
        raise NotWritable(Fault("discounts_off", field="discount_value"))
    detail: Document = {"PercentBased": False}
    if account := settings.get("discount_account_id"):
        detail["DiscountAccountRef"] = {"value": str(account)}
    return {
        "Amount": amount_of(payload),
        "DetailType": "DiscountLineDetail",
        "DiscountLineDetail": detail,
    }


def accounts_of(document: Document) -> list[str]:
    """Ids of the accounts that a document's discount goes to."""
    details = [line.get("DiscountLineDetail", {}) for line in document.get("Line", ())]
    return [one["DiscountAccountRef"]["value"] for one in details if "DiscountAccountRef" in one]
