"""Payments by card or ACH, recorded on an invoice, whole or in part."""

from decimal import Decimal

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from models.sales import Invoice, Lead, Payment, PaymentMethod, RecordType
from views.access import firm, firms_only, own, session
from views.forms import MOST_MONEY, ChoiceField, DayField, Form, NumberField, area
from views.invoices import today
from views.paging import asked, containing, page_of
from views.panel import panel_of
from views.status import words_of

payments = Blueprint("payments", __name__)
payments.before_request(firms_only)


METHODS = {PaymentMethod.CARD.value: "Card", PaymentMethod.ACH.value: "ACH"}


class PaymentForm(Form):
    amount = NumberField(
        "Amount",
        decimals=2,
        shown=2,
        most=MOST_MONEY,
        least=Decimal("0.01"),
        required="How much was paid?",
    )
    method = ChoiceField("Paid by", METHODS, default=PaymentMethod.CARD)
    received_on = DayField("Received", required="When was it received?")
    note = area("Note")


@payments.get("/payments")
def index() -> ResponseReturnValue:
    wanted = asked("q")
    query = (
        select(Payment)
        .where(Payment.organization_id == firm().id)
        .options(joinedload(Payment.invoice).joinedload(Invoice.lead))
    )
    if wanted:
        query = (
            query.join(Payment.invoice)
            .join(Invoice.lead)
            .where(containing(wanted, Invoice.number, Lead.name, Lead.company_name))
        )
    page = page_of(query, Payment.id)
    words = words_of(RecordType.PAYMENT, [payment.id for payment in page.rows])
    return render_template("payments/index.html", page=page, words=words, wanted=wanted)


@payments.get("/invoices/<key:invoice_id>/payments/new")
def show_new(invoice_id: int) -> ResponseReturnValue:
    invoice = own(Invoice, invoice_id)
    if invoice.voided_at:
        return _refuse(invoice)
    open_amount = invoice.balance if invoice.balance > 0 else None
    form = PaymentForm(data={"amount": open_amount, "received_on": today()})
    return render_template("payments/form.html", form=form, invoice=invoice)


@payments.post("/invoices/<key:invoice_id>/payments")
def create(invoice_id: int) -> ResponseReturnValue:
    invoice, form = own(Invoice, invoice_id), PaymentForm(request.form)
    if invoice.voided_at:
        return _refuse(invoice)
    if not form.validate():
        return render_template("payments/form.html", form=form, invoice=invoice), 422
    payment = Payment(organization_id=firm().id, invoice=invoice)
    form.populate_obj(payment)
    above = payment.amount > invoice.balance
    session().add(payment)
    session().commit()
    flash("The payment is recorded." + (" It is more than was open." if above else ""), "good")
    return redirect(url_for("invoices.show", invoice_id=invoice.id), 303)


@payments.get("/payments/<key:payment_id>")
def show(payment_id: int) -> ResponseReturnValue:
    payment = own(Payment, payment_id)
    return render_template(
        "payments/show.html", payment=payment, panel=panel_of(RecordType.PAYMENT, payment.id)
    )


def _refuse(invoice: Invoice) -> ResponseReturnValue:
    flash(f"Invoice {invoice.number} is void: it takes no payments.", "warn")
    return redirect(url_for("invoices.show", invoice_id=invoice.id), 303)
