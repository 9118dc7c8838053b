"""What a document uses that QuickBooks refuses: found out by questions, and named. Pure."""

from collections.abc import Callable, Mapping
from decimal import Decimal

from languages import N_
from models.base import Json
from models.sales import PaymentMethod, Record, RecordType
from outbox.company import Due, Fault, Learned, Rejected, Remote
from quickbooks import discount, matching
from quickbooks.documents import Document, linked
from quickbooks.faults import ours, phrase
from quickbooks.kinds import KINDS, payment
from quickbooks.kinds.refund import about_refund
from quickbooks.questions import Question, next_doubted
from quickbooks.steps import Ask, Step


def doubt_step(
    due: Due, document: Document, links: Mapping[Record, Remote], settings: Json
) -> Step | None:
    """After "something you use is inactive": finds out what, and names it."""
    doubted = due.knowledge.get("doubted")
    if due.knowledge.get("currency_refused") and doubted != "Customer":
        return Rejected(_currency_fault(due))
    if inactive := due.knowledge.get("inactive"):
        return Rejected(_FAULTS[inactive["kind"]](due, inactive, links, settings))
    if not doubted:
        return None
    while doubted != "nothing" and not _may_be_it(due, document, doubted):
        doubted = next_doubted(KINDS[due.record.type].USES, doubted)
    if doubted == "nothing" and not due.knowledge.get("nothing_doubted"):
        # Nothing is inactive any more: perhaps a person has just seen to it.
        return Learned({"doubted": None, "nothing_doubted": True})
    if doubted == "nothing":
        return Rejected(ours("2500", due, {"what": N_("customer, product or account")}))
    ids = _used(document, doubted)
    return Ask(due, "look_up", Question("Id", ids[0], about=doubted, others=tuple(ids[1:])))


def _may_be_it(due: Due, document: Document, kind: str) -> bool:
    is_known = kind == "Invoice" and "invoice_there" in due.knowledge
    return not is_known and bool(_used(document, kind))


_REFERENCES = {
    "Customer": ("CustomerRef",),
    "Account": ("DepositToAccountRef", "IncomeAccountRef"),
    "PaymentMethod": ("PaymentMethodRef",),
}


def _used(document: Document, kind: str) -> list[str]:
    """Ids of things of this kind that a document uses."""
    if keys := _REFERENCES.get(kind):
        used = [document[key]["value"] for key in keys if key in document]
        return [*used, *discount.accounts_of(document)] if kind == "Account" else used
    if kind == "TaxCode":
        code = document.get("TxnTaxDetail", {}).get("TxnTaxCodeRef")
        return [code["value"]] if code else []
    if kind == "Invoice":
        return payment.invoices_paid_by(document)
    details = [line.get("SalesItemLineDetail", {}) for line in document.get("Line", ())]
    return list(dict.fromkeys(d["ItemRef"]["value"] for d in details if "ItemRef" in d))


def invoice_step(due: Due, document: Document) -> Step | None:
    """After "the invoice cannot take it": finds out why. For an invoice that was moved, the
    payment's customer is replaced by the invoice's."""
    there = due.knowledge.get("invoice_there")
    if there is None:
        return None
    about = {"invoice": due.payload["invoice_number"]}
    if not there:
        return Rejected(ours("its_invoice_gone", due, about))
    if there.get("voided"):
        return Rejected(ours("invoice_voided", due, about))
    if Decimal(there["balance"]) == 0:
        return Rejected(ours("its_invoice_paid", due, about))
    if there["customer"] in ("", document["CustomerRef"]["value"]):
        # asked about for another reason, it is not why the payment was refused
        return Rejected(ours("620", due)) if due.knowledge.get("not_linked") else None
    document["CustomerRef"] = {"value": there["customer"]}
    return None


def payment_step(due: Due, document: Document, links: Mapping[Record, Remote]) -> Step | None:
    """A refund's payment is read first: of one that was voided or deleted there, nothing is left
    that a receipt could take. The money goes back to the customer who has the payment there."""
    if due.record.type != RecordType.REFUND:
        return None
    payment_id = linked(links, RecordType.PAYMENT, due.payload["payment_id"])
    there = due.knowledge.get("payment_there")
    if there is None:
        return Ask(due, "look_up", Question("Id", payment_id, about="Payment"))
    if Decimal(there.get("total", 0)) == 0:
        return Rejected(ours("its_payment_gone", due, about_refund(due.payload)))
    if customer := there.get("customer"):
        document["CustomerRef"] = {"value": customer}
    return None


def balance_step(due: Due, links: Mapping[Record, Remote], settings: Json) -> Step | None:
    """Reads the invoice of a new payment when it is not known how much it can still be paid, and
    before money would be left as credit: QuickBooks would not refuse that."""
    billed = links[Record(RecordType.INVOICE, due.payload["invoice_id"])]
    there = due.knowledge.get("invoice_found")
    about = {"invoice": due.payload["invoice_number"]}
    if there == {}:
        return Rejected(ours("its_invoice_gone", due, about))
    is_short = there is None and Decimal(billed.balance or 0) < Decimal(due.payload["amount"])
    if billed.balance is None or is_short or due.knowledge.get("balance_unsure"):
        return Ask(due, "look_up", Question("Id", billed.id, about="Invoice"))
    # Of payments recorded before it, and of those that overtook it while it was in doubt.
    ours_there = payment.applied_of_all(settings, billed)["there"]
    paid = max(Decimal(due.payload["paid_before"]), ours_there)
    # the total there: it may have been lowered since the payment was recorded
    is_paid_by_us = paid >= Decimal(billed.total or due.payload["invoice_total"])
    if there and Decimal(billed.balance) == 0 and not is_paid_by_us:
        return Rejected(ours("its_invoice_paid", due, about))
    return None


# --- Faults that name what is inactive ----------------------------------------------------------


def _currency_fault(due: Due) -> Fault:
    """Why the currency was refused: mostly, because the customer has another one."""
    customer: Json = due.knowledge.get("inactive") or {}
    if not matching.has_other_currency(customer.get("currency", "")):
        return ours("6000", due, {"said": phrase(N_("its currency"))})
    about = {"holder_id": str(customer["id"]), "holder_name": str(customer["name"])}
    return ours("its_customer_currency", due, {**about, "currency": customer["currency"]})


def _customer(due: Due, inactive: Json, links: Mapping[Record, Remote], _settings: Json) -> Fault:
    """A bookkeeper may have moved the invoice or payment to a customer that is not its own: our
    button could not reactivate that one."""
    remote_id = str(inactive["id"])
    own = links.get(Record(RecordType.LEAD, due.payload["lead_id"]))
    is_own = own is None or own.id == remote_id
    holder = str(inactive["name"]) or (due.payload.get("lead_name") if is_own else remote_id)
    about: Json = {"holder_id": remote_id, "holder_name": holder}
    return ours("its_customer_inactive" if is_own else "its_customer_there_inactive", due, about)


def _account(due: Due, inactive: Json, _links: Mapping[Record, Remote], settings: Json) -> Fault:
    chosen_for = KINDS[due.record.type].ACCOUNT_FOR or _chosen_for(due)
    return ours("account_inactive", due, _chosen(due, inactive, settings, chosen_for))


def _method(due: Due, inactive: Json, _links: Mapping[Record, Remote], settings: Json) -> Fault:
    return ours("method_inactive", due, _chosen(due, inactive, settings, _chosen_for(due)))


def _tax_code(due: Due, inactive: Json, _links: Mapping[Record, Remote], settings: Json) -> Fault:
    codes = {str(code["id"]): code["name"] for code in settings.get("tax_codes", [])}
    name = str(inactive["name"]) or codes.get(str(inactive["id"]))
    return ours("tax_code_inactive", due, {"chosen": name})


def _chosen(due: Due, inactive: Json, settings: Json, chosen_for: str) -> Json:
    remote_id = str(inactive["id"])
    if remote_id == settings.get("stripe_account_id") and payment.came_by_stripe(due.payload):
        chosen_for = N_("payments through Stripe")
    return {"chosen": str(inactive["name"]) or remote_id, "chosen_for": phrase(chosen_for)}


def _chosen_for(due: Due) -> str:
    return _CHOSEN_FOR[due.payload.get("method") or due.payload.get("paid_by", "")]


_CHOSEN_FOR = {
    "": N_("sales"),
    PaymentMethod.CARD: N_("card payments"),
    PaymentMethod.ACH: N_("ACH payments"),
    PaymentMethod.CHECK: N_("checks"),
    PaymentMethod.CASH: N_("cash"),
}


def _item(due: Due, inactive: Json, links: Mapping[Record, Remote], settings: Json) -> Fault:
    remote_id = str(inactive["id"])
    using = {
        number: line
        for number, line in enumerate(due.payload.get("lines", ()), start=1)
        if _uses_item(line, remote_id, links, settings)
    }
    names = (line.get("product_name") for line in using.values())
    ids = (line["product_id"] for line in using.values())
    called = str(inactive["name"]) or next(filter(None, names), None)
    about = {
        "item": called or phrase(N_("a deleted item")),
        "item_id": remote_id,
        "product_id": next(filter(None, ids), None),
    }
    if "lines" not in due.payload:
        return ours("fallback_item_inactive", due, about)
    about["lines"] = ", ".join(map(str, using)) or phrase(N_("with the tax"))
    return ours("item_inactive", due, about)


def _uses_item(line: Json, remote_id: str, links: Mapping[Record, Remote], settings: Json) -> bool:
    if line["product_id"] is None:
        return bool(settings.get("fallback_item_id") == remote_id)
    link = links.get(Record(RecordType.PRODUCT, line["product_id"]))
    return link is not None and link.id == remote_id


_Naming = Callable[[Due, Json, Mapping[Record, Remote], Json], Fault]
_FAULTS: dict[str, _Naming] = {
    "Customer": _customer,
    "Account": _account,
    "PaymentMethod": _method,
    "TaxCode": _tax_code,
    "Item": _item,
}
