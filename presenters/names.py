"""What records are called inside a sentence."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from languages import N_
from models.sales import GoodwillRefund, Invoice, Lead, Payment, Product, Record, RecordType
from web.formats import money
from web.languages import _

# The record types where QuickBooks is concerned: inside a sentence, and alone.
NOUNS = {
    RecordType.LEAD: N_("customer"),
    RecordType.PRODUCT: N_("service"),
    RecordType.INVOICE: N_("invoice"),
    RecordType.PAYMENT: N_("payment"),
    RecordType.REFUND: N_("refund"),
}
KIND_NAMES = {
    RecordType.LEAD: N_("Customer"),
    RecordType.PRODUCT: N_("Service"),
    RecordType.INVOICE: N_("Invoice"),
    RecordType.PAYMENT: N_("Payment"),
    RecordType.REFUND: N_("Refund"),
}


def called(kind: RecordType, title: object) -> str:
    """A record in a sentence: customer Green Lawn Co, invoice 1042."""
    match kind:
        case RecordType.LEAD:
            return _("customer %(name)s", name=title)
        case RecordType.PRODUCT:
            return _("service %(name)s", name=title)
        case RecordType.INVOICE:
            return _("invoice %(number)s", number=title)
        case RecordType.PAYMENT:
            return _("payment %(amount)s", amount=title)
        case RecordType.REFUND:
            return _("refund %(amount)s", amount=title)


def first_up(words: str) -> str:
    return words[:1].upper() + words[1:]


def needed_by(stored: str) -> str:
    """The record that caused this one to be sent: stored in English,
    shown in the reader's language."""
    kind, _space, title = stored.partition(" ")
    return called(RecordType(kind), title) if kind in set(RecordType) else stored


def names_of(session: Session, records: Iterable[Record]) -> dict[Record, str]:
    """The names of these records: "customer Green Lawn Co", "invoice 1042"."""
    wanted = list(records)
    titles: list[tuple[RecordType, InstrumentedAttribute[int], InstrumentedAttribute[Any]]] = [
        (RecordType.LEAD, Lead.id, Lead.name),
        (RecordType.PRODUCT, Product.id, Product.name),
        (RecordType.INVOICE, Invoice.id, Invoice.number),
        (RecordType.PAYMENT, Payment.id, Payment.amount),
        (RecordType.REFUND, GoodwillRefund.id, GoodwillRefund.amount),
    ]
    names: dict[Record, str] = {}
    for kind, key_column, title in titles:
        ids = [record.id for record in wanted if record.type == kind]
        if not ids:
            continue
        for key, name in session.execute(select(key_column, title).where(key_column.in_(ids))):
            shown = money(name) if kind in (RecordType.PAYMENT, RecordType.REFUND) else name
            names[Record(kind, key)] = called(kind, shown)
    return names
