"""Payments recorded on an invoice, in full or in part."""

from decimal import Decimal
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import joinedload
from wtforms import BooleanField
from wtforms.validators import StopValidation

from languages import N_
from models.processors import Charge, Refund, RefundState
from models.quickbooks import RefundsAre, TakenBack
from models.sales import (
    GoodwillRefund,
    Invoice,
    Lead,
    Payment,
    PaymentMethod,
    RecordType,
)
from presenters.panel import panel_of
from presenters.status import words_of
from presenters.went_back import went_back
from processors import paying, recording, refunding
from views.invoices import today
from web import once
from web.access import (
    books_required,
    dunahub,
    firm,
    firms_only,
    note,
    own,
    person,
    session,
    step_out,
)
from web.formats import money, payment_methods
from web.forms import MAX_MONEY, ChoiceField, DayField, Form, NumberField, area, line
from web.languages import _
from web.paging import asked, containing, page_of

payments = Blueprint("payments", __name__)
payments.before_request(firms_only)


MAX_REFERENCE_LENGTH = 40


class PaymentForm(Form):
    amount = NumberField(
        N_("Amount"),
        decimals=2,
        shown=2,
        most=MAX_MONEY,
        least=Decimal("0.01"),
        required=N_("How much was paid?"),
    )
    method = ChoiceField(N_("Paid by"), {}, missing=N_("How was it paid?"))
    reference = line(N_("Check number"), most=MAX_REFERENCE_LENGTH)
    received_on = DayField(N_("Received"), required=N_("When was it received?"))
    note = area(N_("Note"))
    confirms_above = BooleanField(N_("Keep the rest as the customer's credit"))

    def above(self, invoice: Invoice) -> Decimal:
        """The amount beyond what is due."""
        return max((self.amount.data or Decimal(0)) - max(invoice.balance, Decimal(0)), Decimal(0))

    def __init__(self, *told: Any, **named: Any) -> None:
        super().__init__(*told, **named)
        self.method.options = {one: _(words) for one, words in payment_methods().items()}


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
    return _form_page(form, invoice)


def _form_page(form: PaymentForm, invoice: Invoice, above: Decimal = Decimal(0)) -> str:
    return render_template(
        "payments/form.html",
        form=form,
        invoice=invoice,
        above=above,
        on_its_way=paying.on_its_way(session(), invoice.id),
    )


@payments.post("/invoices/<key:invoice_id>/payments")
def create(invoice_id: int) -> ResponseReturnValue:
    if saved := once.saved_before():
        return saved
    invoice, form = own(Invoice, invoice_id, locked=True), PaymentForm(request.form)
    if invoice.voided_at:
        return _refuse(invoice)
    is_right = form.validate()
    above = form.above(invoice) if is_right else Decimal(0)
    if not is_right or (above and not form.confirms_above.data):
        return _form_page(form, invoice, above), 422
    payment = Payment(
        organization_id=firm().id,
        invoice=invoice,
        amount=form.amount.data,
        method=form.method.data,
        reference=form.reference.data if form.method.data == PaymentMethod.CHECK else "",
        received_on=form.received_on.data,
        note=form.note.data,
    )
    session().add(payment)
    once.remember(url_for("invoices.show", invoice_id=invoice.id))
    session().commit()
    flash(
        _("The payment is recorded. %(credit)s stays as credit.", credit=money(above))
        if above
        else _("The payment is recorded."),
        "good",
    )
    return redirect(url_for("invoices.show", invoice_id=invoice.id), 303)


@payments.get("/payments/<key:payment_id>")
def show(payment_id: int) -> ResponseReturnValue:
    payment = own(Payment, payment_id)
    gone = went_back(session(), payment)
    receipts = [one.goodwill.id for one in gone if one.goodwill]
    return render_template(
        "payments/show.html",
        payment=payment,
        went_back=gone,
        words=words_of(RecordType.REFUND, receipts),
        charge=session().get(Charge, payment.id),
        refundable=_charge(payment),
        panel=panel_of(RecordType.PAYMENT, payment.id),
    )


@payments.get("/refunds/<key:refund_id>")
def show_goodwill(refund_id: int) -> ResponseReturnValue:
    """A refund after which the invoice stays paid."""
    refund = own(GoodwillRefund, refund_id)
    return render_template(
        "payments/goodwill.html", refund=refund, panel=panel_of(RecordType.REFUND, refund.id)
    )


# --- Paid back ------------------------------------------------------------------------------------


AFTERWARDS = {
    "open": N_("is open again"),
    "paid": N_("stays paid"),
}


class RefundForm(Form):
    amount = NumberField(
        N_("Refunded or returned"),
        decimals=2,
        shown=2,
        most=MAX_MONEY,
        least=Decimal("0.01"),
        required=N_("How much was refunded or returned?"),
    )
    afterwards = ChoiceField(N_("The invoice afterwards"), AFTERWARDS)
    left: Decimal  # of the payment, not yet refunded

    @classmethod
    def of(cls, payment: Payment) -> "RefundForm":
        left, invoice = refunding.left_of(session(), payment), payment.invoice
        stays_paid = bool(invoice.credit) or recording.keeps_paid(session(), payment)
        usual = "paid" if stays_paid else "open"
        amount = min(left, invoice.credit) or left  # first of all what was paid too much
        form = cls(request.form or None, data={"amount": amount, "afterwards": usual})
        if invoice.voided_at:  # it is neither open again nor paid
            del form.afterwards
        form.left = left
        return form

    @property
    def keeps_paid(self) -> bool:
        return self.afterwards is not None and self.afterwards.data == "paid"

    def validate_amount(self, field: NumberField) -> None:
        if field.data and field.data > self.left:
            raise StopValidation(
                _("Only %(left)s of this payment is left to refund.", left=money(self.left))
            )


@payments.get("/payments/<key:payment_id>/refund")
def show_refund(payment_id: int) -> ResponseReturnValue:
    payment = own(Payment, payment_id)
    if not refunding.left_of(session(), payment):
        return _refuse_refund(payment)
    if (charge := _charge(payment)) and not charge.is_refundable:
        return _refuse_disputed(payment)
    return _refund_page(RefundForm.of(payment), payment, charge)


def _refund_page(form: RefundForm, payment: Payment, charge: Charge | None) -> str:
    connection = firm().connection
    chosen = connection.settings if connection else {}
    return render_template(
        "payments/refund.html",
        form=form,
        payment=payment,
        charge=charge,
        way=_way_of(charge),
        voids=chosen.get("taken_back") == TakenBack.VOID,
        books_receipts=chosen.get("refunds") == RefundsAre.RECEIPT,
    )


@payments.post("/payments/<key:payment_id>/refund")
def refund(payment_id: int) -> ResponseReturnValue:
    if saved := once.saved_before():
        return saved
    payment = own(Payment, payment_id)
    payment = recording.lock_payment(session(), payment.id, payment.invoice_id)
    if not refunding.left_of(session(), payment):
        return _refuse_refund(payment)
    form, charge = RefundForm.of(payment), _charge(payment)
    is_right = form.validate()
    if changed := _changed_since_shown(form, charge):
        flash(changed, "warn")
    if changed or not is_right:
        return _refund_page(form, payment, charge), 422
    amount = form.amount.data or Decimal(0)
    if charge:
        return _refund_online(payment, charge, amount, keeps_paid=form.keeps_paid)
    refunding.record_by_hand(session(), payment, amount, person().id, keeps_paid=form.keeps_paid)
    note(
        "payment.refunded",
        organization_id=firm().id,
        payment=payment.id,
        invoice=payment.invoice.number,
        amount=str(amount),
    )
    once.remember(url_for("payments.show", payment_id=payment.id))
    session().commit()
    flash(_("The refund is recorded."), "good")
    return redirect(url_for("payments.show", payment_id=payment.id), 303)


THROUGH_STRIPE, BY_HAND = "stripe", "hand"  # what pressing the button does


def _way_of(charge: Charge | None) -> str:
    return THROUGH_STRIPE if charge else BY_HAND


def _changed_since_shown(form: RefundForm, charge: Charge | None) -> str:
    """Why the button must not do what it does now: the page said something else; "" if it didn't.

    Recorded by hand instead of through Stripe, nobody would pay; the other way round, the money
    would go back a second time.
    """
    way = request.form.get("way", "")
    if way == BY_HAND and charge:
        return _(
            "Stripe is connected again since you opened this page, so the money would now be sent"
            " back. If you already refunded it in Stripe, press Cancel: we'll record it for you."
        )
    if way == THROUGH_STRIPE and charge is None:
        return _(
            "Stripe was disconnected since you opened this page, so no money would be sent back."
            " Refund your client first, then record it here."
        )
    if way != _way_of(charge) or request.form.get("left", "") != str(form.left):
        return _(
            "What was refunded of it has changed since you opened this page. Check that it isn't"
            " the same money."
        )
    return ""


def _charge(payment: Payment) -> Charge | None:
    """The processor's charge of this payment, if we can still refund it there. Otherwise a person
    pays it back and records that."""
    if dunahub().processor is None:
        return None
    query = select(Charge).where(Charge.payment_id == payment.id, paying.is_open(Charge.account_id))
    return session().scalar(query)


def _refund_online(
    payment: Payment, charge: Charge, amount: Decimal, *, keeps_paid: bool
) -> ResponseReturnValue:
    """Stores the refund before asking the processor, so that it is paid once even after a crash."""
    if not charge.is_refundable:
        return _refuse_disputed(payment)
    processor = dunahub().processor
    assert processor
    page = url_for("payments.show", payment_id=payment.id)
    refund = refunding.ask(session(), payment, amount, person().id, keeps_paid=keeps_paid)
    refund_id = refund.id
    once.remember(page)
    session().commit()
    step_out()
    if not refunding.carry_out(dunahub().sessions, processor, refund_id):
        flash(
            _(
                "Stripe hasn't answered yet. We'll keep trying; the payment's page shows the"
                " result."
            ),
            "warn",
        )
    elif session().get_one(Refund, refund_id).state == RefundState.DONE:
        flash(_("The money is on its way back to your client."), "good")
    else:
        flash(_("Stripe refused the refund. The payment's page says why."), "bad")
    return redirect(page, 303)


@payments.post("/payments/<key:payment_id>/refunds/<key:refund_id>")
@books_required
def decide_refund(payment_id: int, refund_id: int) -> ResponseReturnValue:
    """A person has checked whether a refund was made that Stripe never reported, or corrects what
    was recorded by hand."""
    payment, refund = own(Payment, payment_id), own(Refund, refund_id)
    went = request.form.get("went")
    if refund.payment_id != payment.id or went not in ("yes", "no"):
        abort(404)
    payment = recording.lock_payment(session(), payment.id, payment.invoice_id)
    refund = session().get_one(Refund, refund_id, with_for_update=True, populate_existing=True)
    may_be_corrected = refund.is_word_of_a_person and refund.state == RefundState.DONE
    if refund.is_unsure or (may_be_corrected and went == "no"):
        if refund.is_unsure:
            refunding.settle_by_hand(session(), payment, refund, went=went == "yes")
        else:
            refunding.correct_by_hand(session(), payment, refund)
        note(
            "payment.refund_decided",
            organization_id=firm().id,
            payment=payment.id,
            amount=str(refund.amount),
            went_back=went,
        )
        flash(_("Noted. The payment's page says so."), "good")
    else:
        flash(_("This has been solved in the meantime."))
    session().commit()
    return redirect(url_for("payments.show", payment_id=payment_id), 303)


def _refuse_disputed(payment: Payment) -> ResponseReturnValue:
    flash(
        _("The client's bank is deciding about this payment. Respond in your Stripe dashboard."),
        "warn",
    )
    return redirect(url_for("payments.show", payment_id=payment.id), 303)


def _refuse_refund(payment: Payment) -> ResponseReturnValue:
    flash(_("All of this payment has already been refunded or returned."), "warn")
    return redirect(url_for("payments.show", payment_id=payment.id), 303)


def _refuse(invoice: Invoice) -> ResponseReturnValue:
    flash(_("Invoice %(number)s is voided: it can't take payments.", number=invoice.number), "warn")
    return redirect(url_for("invoices.show", invoice_id=invoice.id), 303)
