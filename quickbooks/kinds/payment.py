"""A payment applied to its invoice, in dollars. The excess stays the customer's credit.

The excess is TotalAmt minus the lines: UnappliedAmt (Intuit's API reference, Payment).
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from languages import N_
from models.base import Json
from models.sales import Record, RecordType
from outbox.company import Fault, Remote
from quickbooks.amounts import cents, dollars
from quickbooks.cleaning import Cleaned, SentText, clean_text, each_cleaned
from quickbooks.documents import Document, NotWritable, in_dollars, linked
from quickbooks.matching import agrees, is_marked, is_unmarked, marks_in
from quickbooks.questions import Question

ENTITY = "Payment"
PAGE: tuple[str, str | None] = ("recvpayment", "txnId")
NAME: str | None = None
USES: tuple[str, ...] = ("Customer", "Account", "PaymentMethod", "Invoice")
GONE = "610"
# it is an update (Intuit's API reference, Payment)
VOIDING: Mapping[str, str] = {"operation": "update", "include": "void"}
NOUN = N_("payment")
EFFECT = N_("Saved here, but not in QuickBooks: the invoice still looks unpaid there.")
ACCOUNT_FOR: str | None = None
IS_CREATED_ONLY = False
MAY_BE_ENTERED = True

# how it came to be as it is there
CREDIT_THERE = N_("part of it is credit there: the invoice takes no more in QuickBooks")
CREDIT_LEFT = N_(
    "part of it is credit there: QuickBooks refused to put it on the invoice, so do it there"
)
CREDIT_PAYS = N_("what was credit there pays its invoice now")

REFERENCE_LONGEST = 21  # by convention, no limit is documented
NOTE_LONGEST = 4000
FIELDS: tuple[SentText, ...] = (SentText("note", clean_text, NOTE_LONGEST),)


def document(payload: Json, links: Mapping[Record, Remote], settings: Json) -> Document:
    """The payment, with as much of it as the invoice can take. Raises NotWritable or Missing."""
    invoice_id = linked(links, RecordType.INVOICE, payload["invoice_id"])
    billed = links[Record(RecordType.INVOICE, payload["invoice_id"])]
    if billed.voided:
        raise NotWritable(Fault("invoice_voided", about={"invoice": payload["invoice_number"]}))
    amount = dollars(payload["amount"])
    applied = min(amount, open_balance(payload, billed))
    found: Document = {
        "CustomerRef": {"value": linked(links, RecordType.LEAD, payload["lead_id"])},
        "TotalAmt": amount,
        "TxnDate": payload["received_on"],
        "PaymentRefNum": reference_of(payload),
    }
    if method_id := settings.get("payment_methods", {}).get(payload["method"]):
        found["PaymentMethodRef"] = {"value": method_id}
    if account := deposit_account(payload, settings):
        found["DepositToAccountRef"] = {"value": account}
    # The mark again: a bookkeeper may type a check's number over the reference.
    note = f"Invoice {payload['invoice_number']}, {payload['mark']}. {payload['note']}"
    found["PrivateNote"] = clean_text(note, NOTE_LONGEST)
    found["Line"] = []
    if applied > 0:
        pays = [{"TxnId": invoice_id, "TxnType": "Invoice"}]
        found["Line"] = [{"Amount": applied, "LinkedTxn": pays}]
    return found | in_dollars(settings)


def as_sent_then(document: Document, sent: Document | None) -> Document:
    """The document without the mark in its note, for a payment that was `sent` without it, by an
    earlier release: what stands there is not rewritten."""
    if sent is None or marks_in({"PrivateNote": sent.get("PrivateNote")}):
        return document
    note = document["PrivateNote"].replace(f", {document['PaymentRefNum']}.", ".", 1)
    return {**document, "PrivateNote": note}


def came_by_stripe(payload: Json) -> bool:
    """Whether the money came through Stripe: it is paid out later, less Stripe's fees."""
    return payload.get("through") == "stripe"


def deposit_account(payload: Json, settings: Json) -> str | None:
    """Where the money lands: what came through Stripe in its own account, where one was chosen.

    Bank or Other Current Asset; without one QuickBooks takes Undeposited Funds (Intuit's API
    reference, Payment).
    """
    by_stripe = settings.get("stripe_account_id") if came_by_stripe(payload) else None
    account: str | None = by_stripe or settings.get("deposit_accounts", {}).get(payload["method"])
    return account


def reference_of(payload: Json) -> str:
    """The payment's mark as its PaymentRefNum, by which it can be found."""
    return str(payload["mark"])[:REFERENCE_LONGEST]


def applied_to(billed: Remote, document: Document) -> Decimal:
    """How much of the payment is on this invoice, in dollars."""
    return sum(
        (
            Decimal(str(line["Amount"]))
            for line in document.get("Line", ())
            for one in line.get("LinkedTxn", ())
            if one.get("TxnType") == "Invoice" and one.get("TxnId") == billed.id
        ),
        Decimal("0.00"),
    )


def open_balance(payload: Json, billed: Remote) -> Decimal:
    """What the invoice can still be paid in QuickBooks: the last
    known balance, minus what we applied since."""
    if billed.balance is not None:
        return max(cents(billed.balance), Decimal("0.00"))
    total = cents(billed.total if billed.total is not None else payload["invoice_total"])
    return max(total - cents(payload["paid_before"]), Decimal("0.00"))


def with_found_balance(
    payload: Json, knowledge: Json, links: Mapping[Record, Remote]
) -> Mapping[Record, Remote]:
    """The links with the balance that was read of the payment's invoice, if it is not known
    otherwise: while another payment of the invoice is in doubt, none is stored."""
    paid = Record(RecordType.INVOICE, payload["invoice_id"])
    billed, balance = links.get(paid), (knowledge.get("invoice_found") or {}).get("balance")
    if billed is None or billed.balance is not None or balance is None:
        return links
    return {**links, paid: replace(billed, balance=str(balance))}


def applied_of_all(settings: Json, billed: Remote) -> dict[str, Decimal]:
    """What all our payments of the invoice take of it: see `own_books.applied`."""
    told = settings.get("applied", {}).get(billed.id, {})
    return {key: Decimal(told.get(key, 0)) for key in ("there", "sure", "sent")}


def find_by(payload: Json, _links: Mapping[Record, Remote], _settings: Json) -> Question:
    """By its mark."""
    return Question("PaymentRefNum", reference_of(payload))


def marks(document: Document) -> list[Question]:
    """Its reference, which is its mark."""
    return [Question("PaymentRefNum", str(document["PaymentRefNum"]))]


def is_same(document: Document, found: Json) -> bool:
    """It has our mark."""
    return is_marked(document, found)


def perhaps_made(document: Document, found: Json) -> bool:
    """A payment of its customer and amount."""
    return is_unmarked(document, found) and agrees(document["TotalAmt"], found.get("TotalAmt"))


def invoices_paid_by(document: Document) -> list[str]:
    """Ids of the invoices that a payment in QuickBooks, or one of ours, is applied to."""
    lines = document.get("Line", ())
    return [linked["TxnId"] for line in lines for linked in line.get("LinkedTxn", ())]


def cleanings(payload: Json) -> list[Cleaned]:
    """The texts that QuickBooks gets in another form, for people to see."""
    return each_cleaned(FIELDS, payload)
