"""Sending records that were saved without QuickBooks, one invoice, one payment or all, after a
preview."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select

from models.outbox import Counterpart, Entry
from models.quickbooks import Connection
from models.sales import GoodwillRefund, Invoice, Lead, Payment, Record, RecordType
from outbox.capture import send_by_hand
from presenters.not_sent import never_sent
from quickbooks import facts
from quickbooks.kinds.invoice import carries_our_number
from web.access import books_required, firm, note, own, quickbooks_only, session
from web.languages import _, ngettext
from web.paging import asked

sending = Blueprint("sending", __name__, url_prefix="/quickbooks/send")
sending.before_request(quickbooks_only)


@sending.get("/invoices/<key:invoice_id>")
@books_required
def show(invoice_id: int) -> ResponseReturnValue:
    """Shows what would be sent, and warns that it may already be in QuickBooks."""
    invoice, wanted = own(Invoice, invoice_id), asked("payment")
    connection = firm().connection
    if connection and wanted and _is_known(invoice, connection.lane_id) and _is_key(wanted):
        return redirect(url_for("sending.show_payment", payment_id=int(wanted)))
    if connection is None or invoice.voided_at or _is_known(invoice, connection.lane_id):
        return _nothing_to_send(invoice)
    return _invoice_page(invoice, connection, {wanted} if wanted else None)


def _invoice_page(invoice: Invoice, connection: Connection, ticked: Set[str] | None) -> str:
    """`ticked`: the ids of the payments that go with it; None: all."""
    payments = _unsent_payments(invoice)
    return render_template(
        "quickbooks/send.html",
        invoice=invoice,
        payments=payments,
        shown=_shown(invoice, payments),
        ticked={str(one.id) for one in payments} if ticked is None else ticked,
        company=connection.company_name,
        brings_customer=not _is_linked(connection.lane_id, invoice.lead_id),
        numbered_here=carries_our_number(facts.for_documents(connection)),
    )


def _shown(invoice: Invoice, payments: Sequence[Payment]) -> str:
    """What the page says of it. What was recorded since then was neither ticked nor left out."""
    return " ".join([str(invoice.total), *(f"{one.id}:{one.refunded_amount}" for one in payments)])


def _was_shown(payment: Payment, shown: str) -> bool:
    return any(one.startswith(f"{payment.id}:") for one in shown.split())


@sending.post("/invoices/<key:invoice_id>")
@books_required
def send(invoice_id: int) -> ResponseReturnValue:
    invoice = own(Invoice, invoice_id, locked=True)
    if request.form.get("agrees") != "y":
        flash(_("Nothing was sent. Tick the box first."), "warn")
        return redirect(url_for("sending.show", invoice_id=invoice.id), 303)
    connection = firm().connection
    if connection is None or invoice.voided_at or _is_known(invoice, connection.lane_id):
        return _nothing_to_send(invoice)
    wanted, shown = set(request.form.getlist("payment")), request.form.get("shown", "")
    unsent = _unsent_payments(invoice)
    if shown != _shown(invoice, unsent):
        flash(
            _(
                "This invoice, or what was paid on it, has changed since you opened this page. Look"
                " at it again, then send it."
            ),
            "warn",
        )
        ticked = wanted | {str(one.id) for one in unsent if not _was_shown(one, shown)}
        return _invoice_page(invoice, connection, ticked), 422
    chosen = [one for one in unsent if str(one.id) in wanted]
    payments, waiting = [one.id for one in chosen], _in_part_back(chosen)
    sent = send_by_hand(session(), RecordType.INVOICE, [invoice.id])
    if not sent:
        return _nothing_to_send(invoice)
    followed = [*send_by_hand(session(), RecordType.PAYMENT, payments), *_send_refunds(payments)]
    note(
        "outbox.sent_by_hand",
        organization_id=firm().id,
        number=invoice.number,
        entries=[*sent, *followed],
    )
    session().commit()
    sentence = _("Invoice %(number)s is being sent to QuickBooks now.", number=invoice.number)
    if count := len(followed) - len(waiting):
        sentence = ngettext(
            "Invoice %(number)s is being sent to QuickBooks now with %(num)s payment.",
            "Invoice %(number)s is being sent to QuickBooks now with %(num)s payments.",
            count,
            number=invoice.number,
        )
    flash(sentence, "good")
    _tell_waiting(waiting)
    return redirect(url_for("invoices.show", invoice_id=invoice.id), 303)


# --- A payment by itself --------------------------------------------------------------------------


@sending.get("/payments/<key:payment_id>")
@books_required
def show_payment(payment_id: int) -> ResponseReturnValue:
    """A payment that did not go with its invoice, which was sent."""
    payment = own(Payment, payment_id)
    connection = firm().connection
    if connection is None or not _goes_alone(payment, connection.lane_id):
        return _no_payment_to_send(payment)
    return _payment_page(payment, connection)


@sending.post("/payments/<key:payment_id>")
@books_required
def send_payment(payment_id: int) -> ResponseReturnValue:
    payment = own(Payment, payment_id, locked=True)
    connection = firm().connection
    if connection is None or not _goes_alone(payment, connection.lane_id):
        return _no_payment_to_send(payment)
    if request.form.get("agrees") != "y":
        flash(_("Nothing was sent. Tick the box first."), "warn")
        return redirect(url_for("sending.show_payment", payment_id=payment.id), 303)
    if request.form.get("shown", "") != _shown(payment.invoice, [payment]):
        flash(
            _(
                "This payment, or its invoice, has changed since you opened this page. Look at it"
                " again, then send it."
            ),
            "warn",
        )
        return _payment_page(payment, connection), 422
    sent = send_by_hand(session(), RecordType.PAYMENT, [payment.id])
    followed = _send_refunds([payment.id])
    note("outbox.sent_by_hand", organization_id=firm().id, entries=[*sent, *followed])
    session().commit()
    flash(_("The payment is being sent to QuickBooks now."), "good")
    _tell_waiting(_in_part_back([payment]))
    return redirect(url_for("payments.show", payment_id=payment.id), 303)


def _payment_page(payment: Payment, connection: Connection) -> str:
    return render_template(
        "quickbooks/send_payment.html",
        payment=payment,
        shown=_shown(payment.invoice, [payment]),
        company=connection.company_name,
    )


def _goes_alone(payment: Payment, lane_id: int) -> bool:
    """Whether it was never sent, though its invoice was, and there is something to send."""
    return (
        payment.invoice.voided_at is None
        and payment.refunded_amount < payment.amount
        and _was_sent(lane_id, Record(RecordType.INVOICE, payment.invoice_id))
        and not _was_sent(lane_id, Record(RecordType.PAYMENT, payment.id))
    )


def _no_payment_to_send(payment: Payment) -> ResponseReturnValue:
    flash(
        _(
            "This payment can't be sent by hand: it was sent, its invoice wasn't, or QuickBooks is"
            " not connected."
        ),
        "warn",
    )
    return redirect(url_for("payments.show", payment_id=payment.id))


# --- All of them ---------------------------------------------------------------------------------

ALL_OF: dict[str, type[Invoice] | type[Lead]] = {
    "invoice": Invoice,
    "lead": Lead,
}  # an invoice includes its payments
MAX_SENT_AT_ONCE = 500  # in one transaction; the page shows how many are left
RECORDS_NAMED = 20  # in the preview


@dataclass(frozen=True)
class Unsent:
    """What *Send all* sends, oldest first."""

    kind: RecordType
    records: Sequence[Invoice | Lead]
    payments: Sequence[Payment]
    left: int  # beyond this batch

    @property
    def title(self) -> str:
        count = len(self.records)
        if self.kind is RecordType.LEAD:
            return ngettext(
                "Send %(num)s lead to QuickBooks?", "Send %(num)s leads to QuickBooks?", count
            )
        return ngettext(
            "Send %(num)s invoice to QuickBooks?", "Send %(num)s invoices to QuickBooks?", count
        )

    @property
    def total(self) -> Decimal:
        return sum((one.total for one in self.records if isinstance(one, Invoice)), Decimal(0))

    @property
    def in_part_back(self) -> Sequence[Payment]:
        return _in_part_back(self.payments)

    @property
    def paid(self) -> Decimal:
        return sum((one.amount - one.refunded_amount for one in self.payments), Decimal(0))


@sending.get("/all/<kind>")
@books_required
def show_all(kind: str) -> ResponseReturnValue:
    """Shows what would be sent, and warns that it may already be in QuickBooks."""
    unsent, connection = _unsent(kind), firm().connection
    if connection is None or not unsent.records:
        return _none_to_send(kind)
    return render_template(
        "quickbooks/send_all.html",
        unsent=unsent,
        named=unsent.records[:RECORDS_NAMED],
        newest=unsent.records[-1].id,
        company=connection.company_name,
    )


@sending.post("/all/<kind>")
@books_required
def send_all(kind: str) -> ResponseReturnValue:
    """Sends what was shown and is still unsent."""
    newest = request.form.get("newest", "")
    if request.form.get("agrees") != "y" or not _is_key(newest):
        flash(_("Nothing was sent. Tick the box first."), "warn")
        return redirect(url_for("sending.show_all", kind=kind), 303)
    unsent = _unsent(kind, newest=int(newest))
    sent = send_by_hand(session(), unsent.kind, [one.id for one in unsent.records])
    payments = [one.id for one in unsent.payments]
    followed = [*send_by_hand(session(), RecordType.PAYMENT, payments), *_send_refunds(payments)]
    if not sent:
        return _none_to_send(kind)
    note("outbox.sent_by_hand", organization_id=firm().id, entries=[*sent, *followed])
    session().commit()
    sentence = ngettext(
        "%(num)s record is being sent to QuickBooks now.",
        "%(num)s records are being sent to QuickBooks now.",
        len(sent) + len(followed) - len(unsent.in_part_back),
    )
    flash(sentence, "good")
    _tell_waiting(unsent.in_part_back)
    return redirect(url_for("quickbooks.not_sent", type=kind), 303)


def _unsent(kind: str, newest: int | None = None) -> Unsent:
    model: type[Any] = ALL_OF.get(kind) or abort(404)
    wanted = [*never_sent(model), *([model.id <= newest] if newest is not None else [])]
    query = select(model).where(*wanted).order_by(model.id).limit(MAX_SENT_AT_ONCE)
    if newest is not None:  # they are sent: no payment is recorded between this and that
        query = query.with_for_update(key_share=True)
    records = session().scalars(query)
    found: Sequence[Invoice | Lead] = records.all()
    counted = session().scalar(select(func.count()).select_from(model).where(*wanted)) or 0
    invoices = [one.id for one in found if isinstance(one, Invoice)]
    payments = session().scalars(
        select(Payment)
        .where(
            Payment.organization_id == firm().id,
            Payment.invoice_id.in_(invoices),
            Payment.refunded_amount < Payment.amount,
        )
        .order_by(Payment.id)
    )
    return Unsent(RecordType(kind), found, payments.all(), counted - len(found))


def _send_refunds(payments: Sequence[int]) -> tuple[int, ...]:
    """The refunds of these payments, after which their invoices stayed paid."""
    refunds = session().scalars(
        select(GoodwillRefund.id).where(
            GoodwillRefund.organization_id == firm().id, GoodwillRefund.payment_id.in_(payments)
        )
    )
    return send_by_hand(session(), RecordType.REFUND, refunds.all())


def _is_key(told: str) -> bool:
    return told.isascii() and told.isdigit() and len(told) < 19


def _none_to_send(kind: str) -> ResponseReturnValue:
    flash(_("There is nothing to send: everything was sent, or QuickBooks is not connected."))
    return redirect(url_for("quickbooks.not_sent", type=kind))


# --- What it needs to know ------------------------------------------------------------------------


def _nothing_to_send(invoice: Invoice) -> ResponseReturnValue:
    if invoice.voided_at:
        words = _("Invoice %(number)s can't be sent by hand: it's voided.", number=invoice.number)
    else:
        words = _(
            "Invoice %(number)s can't be sent by hand: it was sent, or QuickBooks is not"
            " connected.",
            number=invoice.number,
        )
    flash(words, "warn")
    return redirect(url_for("invoices.show", invoice_id=invoice.id))


def _is_known(invoice: Invoice, lane_id: int) -> bool:
    return _was_sent(lane_id, Record(RecordType.INVOICE, invoice.id))


def _was_sent(lane_id: int, record: Record) -> bool:
    known = select(Entry.id).where(Entry.lane_id == lane_id, Entry.record == record)
    return session().scalar(known.limit(1)) is not None


def _is_linked(lane_id: int, lead_id: int) -> bool:
    customer = Record(RecordType.LEAD, lead_id)
    return session().scalar(Counterpart.of(lane_id, customer)) is not None


def _unsent_payments(invoice: Invoice) -> Sequence[Payment]:
    """Payments that may be sent with it. Refunded ones are not sent."""
    return [one for one in invoice.payments if one.refunded_amount < one.amount]


def _in_part_back(payments: Sequence[Payment]) -> list[Payment]:
    """Those of which a part was paid back: a person enters what is left."""
    return [one for one in payments if 0 < one.refunded_amount < one.amount]


def _tell_waiting(payments: Sequence[Payment]) -> None:
    if payments:
        flash(
            ngettext(
                "%(num)s payment is waiting for you: part of it was refunded here.",
                "%(num)s payments are waiting for you: part of each was refunded here.",
                len(payments),
            ),
            "warn",
        )
