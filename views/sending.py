"""Sending by hand what was saved without QuickBooks: one at a time, looked at first."""

from collections.abc import Sequence

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from models.outbox import Counterpart, Entry
from models.sales import Invoice, Payment, Record, RecordType
from outbox.capture import send_by_hand
from quickbooks import facts
from quickbooks.payloads import carries_our_number
from web.access import books_required, firm, note, own, quickbooks_only, session
from web.languages import _, ngettext
from web.paging import asked

sending = Blueprint("sending", __name__, url_prefix="/quickbooks/send")
sending.before_request(quickbooks_only)


@sending.get("/invoices/<key:invoice_id>")
@books_required
def show(invoice_id: int) -> ResponseReturnValue:
    """What would arrive in QuickBooks, and that it might be there already."""
    invoice = own(Invoice, invoice_id)
    connection = firm().connection
    if connection is None or invoice.voided_at or _is_known(invoice, connection.lane_id):
        return _nothing_to_send(invoice)
    wanted = asked("payment")
    return render_template(
        "quickbooks/send.html",
        invoice=invoice,
        payments=_unsent_payments(invoice),
        chosen=wanted,
        company=connection.company_name,
        brings_customer=not _is_linked(connection.lane_id, invoice.lead_id),
        numbered_here=carries_our_number(facts.for_documents(connection)),
    )


@sending.post("/invoices/<key:invoice_id>")
@books_required
def send(invoice_id: int) -> ResponseReturnValue:
    invoice = own(Invoice, invoice_id)
    if request.form.get("agrees") != "y":
        flash(_("Nothing was sent. Confirm first that it is not in QuickBooks yet."), "warn")
        return redirect(url_for("sending.show", invoice_id=invoice.id), 303)
    wanted = set(request.form.getlist("payment"))
    payments = [one.id for one in _unsent_payments(invoice) if str(one.id) in wanted]
    sent = send_by_hand(session(), RecordType.INVOICE, [invoice.id])
    if not sent:
        return _nothing_to_send(invoice)
    followed = send_by_hand(session(), RecordType.PAYMENT, payments)
    note(
        "outbox.sent_by_hand",
        organization_id=firm().id,
        number=invoice.number,
        entries=[*sent, *followed],
    )
    session().commit()
    sentence = _("Invoice %(number)s goes to QuickBooks now.", number=invoice.number)
    if followed:
        sentence = ngettext(
            "Invoice %(number)s goes to QuickBooks now with %(num)s payment.",
            "Invoice %(number)s goes to QuickBooks now with %(num)s payments.",
            len(followed),
            number=invoice.number,
        )
    flash(sentence, "good")
    return redirect(url_for("invoices.show", invoice_id=invoice.id), 303)


def _nothing_to_send(invoice: Invoice) -> ResponseReturnValue:
    if invoice.voided_at:
        words = _("Invoice %(number)s can't be sent by hand: it is void.", number=invoice.number)
    else:
        words = _(
            "Invoice %(number)s can't be sent by hand: it was sent, or QuickBooks is not"
            " connected.",
            number=invoice.number,
        )
    flash(words, "warn")
    return redirect(url_for("invoices.show", invoice_id=invoice.id))


def _is_known(invoice: Invoice, lane_id: int) -> bool:
    known = select(Entry.id).where(
        Entry.lane_id == lane_id,
        Entry.record == Record(RecordType.INVOICE, invoice.id),
    )
    return session().scalar(known.limit(1)) is not None


def _is_linked(lane_id: int, lead_id: int) -> bool:
    customer = Record(RecordType.LEAD, lead_id)
    return session().scalar(Counterpart.of(lane_id, customer)) is not None


def _unsent_payments(invoice: Invoice) -> Sequence[Payment]:
    """Those that may go with it. What was paid back stays here."""
    return [one for one in invoice.payments if one.refunded_amount < one.amount]
