"""How the records of each type are shown where QuickBooks is concerned: its words and its pages."""

import re
from dataclasses import dataclass

from languages import N_
from models.sales import RecordType


@dataclass(frozen=True)
class Shown:
    """The words and pages of one type of record."""

    noun: str  # inside a sentence
    name: str  # alone
    called: str  # with its title, inside a sentence
    title: str  # the model's attribute with its title
    page: str  # the endpoint of its page
    key: str  # the parameter of its endpoints: its id
    form: str | None = None  # the endpoint of the form with its fields
    row: str | None = None  # in lists, with keys of its snapshot; None: as it is called
    has_panel: bool = True  # its page has a panel about QuickBooks
    # why one has no entry while QuickBooks is connected
    why_not_sent: str = N_("Created while QuickBooks was not connected.")


SHOWN: dict[RecordType, Shown] = {
    RecordType.LEAD: Shown(
        noun=N_("customer"),
        name=N_("Customer"),
        called=N_("customer %(title)s"),
        title="name",
        page="leads.show",
        key="lead_id",
        form="leads.show_edit",
    ),
    RecordType.PRODUCT: Shown(
        noun=N_("service"),
        name=N_("Service"),
        called=N_("service %(title)s"),
        title="name",
        page="products.show_edit",
        key="product_id",
        form="products.show_edit",
        has_panel=False,
    ),
    RecordType.INVOICE: Shown(
        noun=N_("invoice"),
        name=N_("Invoice"),
        called=N_("invoice %(title)s"),
        title="number",
        page="invoices.show",
        key="invoice_id",
        form="invoices.show_edit",
        row=N_("Invoice %(title)s · %(lead_name)s"),
    ),
    RecordType.PAYMENT: Shown(
        noun=N_("payment"),
        name=N_("Payment"),
        called=N_("payment %(title)s"),
        title="amount",
        page="payments.show",
        key="payment_id",
        row=N_("Payment for invoice %(invoice_number)s"),
        why_not_sent=N_("Its invoice isn't in QuickBooks."),
    ),
    RecordType.REFUND: Shown(
        noun=N_("refund"),
        name=N_("Refund"),
        called=N_("refund %(title)s"),
        title="amount",
        page="payments.show_goodwill",
        key="refund_id",
        row=N_("Refund for invoice %(invoice_number)s"),
        why_not_sent=N_("Its payment isn't in QuickBooks."),
    ),
}


def parts_of(words: str) -> list[str]:
    """The words before, between and after the names in them, and the names: text, name, text …"""
    return re.split(r"%\((\w+)\)s", words)
