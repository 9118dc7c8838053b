"""Addresses of a record: its page, the form that fixes it, and its page in QuickBooks."""

from flask import url_for

from models.outbox import Counterpart, Entry, State
from models.quickbooks import Connection
from models.sales import Record, RecordType
from quickbooks.faults import Explanation, explain
from quickbooks.links import record_url
from web.access import dunahub, person
from web.languages import reader


def address_in_quickbooks(connection: Connection | None, link: Counterpart | None) -> str | None:
    """The object's page in QuickBooks, for a person who is signed in there."""
    if connection is None or link is None or link.remote_id is None or link.gone_at:
        return None
    return record_url(dunahub().config, connection, link.record_type, link.remote_id)


def explanation_of(entry: Entry) -> Explanation | None:
    """Explains why an entry failed or is being retried."""
    if not entry.fault_code:
        return None
    about = {"record": entry.record_type, **entry.fault_about}
    return explain(entry.fault_code, about, entry.fault_detail or "", reader())


def address_of(record: Record) -> str | None:
    """The record's page in DunaHub."""
    match record.type:
        case RecordType.LEAD:
            return url_for("leads.show", lead_id=record.id)
        case RecordType.PRODUCT:
            return url_for("products.show_edit", product_id=record.id)
        case RecordType.INVOICE:
            return url_for("invoices.show", invoice_id=record.id)
        case RecordType.PAYMENT:
            return url_for("payments.show", payment_id=record.id)
        case RecordType.REFUND:
            return url_for("payments.show_goodwill", refund_id=record.id)


# Decisions about a record that are made on its page, in its panel.
_CHOICES = frozenset(
    "link_existing send_as choose_customer create_new create_again reactivate other_item fallback"
    " let_quickbooks_number".split()
)


def help_address_of(entry: Entry) -> str | None:
    """Where this person fixes it: by a choice on the record's page, or in the record's form."""
    explanation = explanation_of(entry)
    offered = {action.name for action in explanation.actions} if explanation else set()
    has_panel = entry.record_type != RecordType.PRODUCT
    if entry.state == State.FAILED and offered & _CHOICES and has_panel and person().keeps_books:
        page = address_of(entry.record)
        return page and f"{page}#panel-{entry.record_type.value}-{entry.record_id}"
    return fix_address_of(entry)


def fix_address_of(entry: Entry) -> str | None:
    """The record's form, at the field that fixes its fault."""
    explanation = explanation_of(entry)
    fix = entry.fault_field or (explanation.field if explanation else None)
    if entry.state != State.FAILED or not fix:
        return None
    match entry.record_type:
        case RecordType.LEAD:
            return url_for("leads.show_edit", lead_id=entry.record_id, fix=fix)
        case RecordType.PRODUCT:
            return url_for("products.show_edit", product_id=entry.record_id, fix=fix)
        case RecordType.INVOICE:
            return url_for("invoices.show_edit", invoice_id=entry.record_id, fix=fix)
        case RecordType.PAYMENT | RecordType.REFUND:
            return None
