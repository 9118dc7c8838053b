"""A refund as a refund receipt, in dollars: less income, and the invoice stays paid."""

from collections.abc import Mapping
from decimal import Decimal

from languages import N_
from models.base import Json
from models.sales import Record, RecordType
from outbox.company import Fault, Remote
from quickbooks.amounts import dollars
from quickbooks.cleaning import Cleaned, SentText, clean_text, each_cleaned
from quickbooks.documents import Document, NotWritable, fallback_item, in_dollars, linked
from quickbooks.kinds.payment import NOTE_LONGEST, came_by_stripe, reference_of
from quickbooks.matching import has_same_amounts, is_marked, is_unmarked
from quickbooks.questions import Question, on_day

ENTITY = "RefundReceipt"
PAGE: tuple[str, str | None] = ("refundreceipt", "txnId")
NAME: str | None = None
USES: tuple[str, ...] = ("Item", "Customer", "Account", "PaymentMethod")
GONE = "610"
VOIDING: Mapping[str, str] = {"operation": "void"}
NOUN = N_("refund")
EFFECT = N_("Saved here, but not in QuickBooks: the money still looks received there.")
ACCOUNT_FOR: str | None = N_("refunds")
IS_CREATED_ONLY = False
MAY_BE_ENTERED = True
FIELDS: tuple[SentText, ...] = (SentText("note", clean_text, NOTE_LONGEST),)


def document(payload: Json, links: Mapping[Record, Remote], settings: Json) -> Document:
    """One line of the item for lines without a product, untaxed, so that its total is ours.

    The account is where the money comes from, and must be given (Intuit's API reference,
    RefundReceipt). Raises NotWritable or Missing.
    """
    account = account_of(payload, settings)
    if not account:
        has_item = bool(settings.get("fallback_item_id"))
        raise NotWritable(Fault("no_refund_account" if has_item else "no_refund_choices"))
    fallback = fallback_item(settings)
    detail: Document = {"ItemRef": {"value": fallback}, "TaxCodeRef": {"value": "NON"}}
    found: Document = {
        "CustomerRef": {"value": linked(links, RecordType.LEAD, payload["lead_id"])},
        "TxnDate": payload["refunded_on"],
        "PaymentRefNum": reference_of(payload),
        "DepositToAccountRef": {"value": account},
        "Line": [
            {
                "Amount": dollars(payload["amount"]),
                "DetailType": "SalesItemLineDetail",
                "Description": f"Refund, invoice {payload['invoice_number']}",
                "SalesItemLineDetail": detail,
            }
        ],
    }
    if method_id := settings.get("payment_methods", {}).get(payload["paid_by"]):
        found["PaymentMethodRef"] = {"value": method_id}
    mark = f"DunaHub refund, invoice {payload['invoice_number']}, {payload['mark']}"
    found["PrivateNote"] = clean_text(f"{mark}. {payload['note']}", NOTE_LONGEST)
    return found | in_dollars(settings)


def account_of(payload: Json, settings: Json) -> str | None:
    """Where the money comes from: Stripe's own account for what goes back through Stripe, else what
    the owner chose for refunds, else where such payments land."""
    by_stripe = settings.get("stripe_account_id") if came_by_stripe(payload) else None
    chosen: str | None = by_stripe or settings.get("refund_account_id")
    return chosen or settings.get("deposit_accounts", {}).get(payload["paid_by"])


def find_by(payload: Json, links: Mapping[Record, Remote], _settings: Json) -> Question:
    """By its customer and day; the mark is in its note. Raises Missing."""
    customer = linked(links, RecordType.LEAD, payload["lead_id"])
    return Question("CustomerRef", customer, on_day(payload["refunded_on"]))


def marks(document: Document) -> list[Question]:
    """Its customer and day."""
    day = on_day(str(document["TxnDate"]))
    return [Question("CustomerRef", str(document["CustomerRef"]["value"]), day)]


def is_same(document: Document, found: Json) -> bool:
    """It has our mark."""
    return is_marked(document, found)


def perhaps_made(document: Document, found: Json) -> bool:
    """A refund receipt of its customer, with the same amounts on its lines."""
    return is_unmarked(document, found) and has_same_amounts(document, found)


def about_refund(payload: Json) -> Json:
    """The amount and the invoice, for sentences about it."""
    amount = f"${Decimal(payload['amount']):,.2f}"
    return {"amount": amount, "invoice": payload["invoice_number"]}


def cleanings(payload: Json) -> list[Cleaned]:
    """The texts that QuickBooks gets in another form, for people to see."""
    return each_cleaned(FIELDS, payload)
