"""Invoices: from a lead, a job or a proposal."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import ColumnElement, and_, func, not_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import contains_eager

from db import breaks
from languages import N_
from models.sales import (
    Invoice,
    InvoiceDraft,
    InvoiceDraftLine,
    InvoiceLine,
    InvoiceStatus,
    Lead,
    Proposal,
    ProposalStatus,
    RecordType,
)
from presenters.client_card import client_card
from presenters.panel import fix_of, panel_of
from presenters.status import words_of
from presenters.unfinished import drafts_of
from processors import paying, recording
from views.letterhead import letterhead
from views.sheets import send_pdf, show_sheet
from web import once
from web.access import dunahub, firm, firms_only, note, own, session
from web.invoice_form import InvoiceForm, NumberedForm
from web.languages import _
from web.numbers import next_invoice_number
from web.origins import Origin, asked_origin, choose_lead, required_origin
from web.paging import Sort, asked, containing, page_of

invoices = Blueprint("invoices", __name__, url_prefix="/invoices")
invoices.before_request(firms_only)

OVERDUE = "overdue"  # a filter, not a status: overdue invoices are open or partly paid
SORTS = {
    "": (N_("Newest first"), None),
    "due": (N_("Due first"), Sort(Invoice.due_on, ascending=True)),
    "open": (N_("Largest balance first"), Sort(Invoice.total - Invoice.paid_amount)),
}


@invoices.get("")
def index() -> ResponseReturnValue:
    wanted, state = asked("q"), asked("state")
    fitting = [Invoice.organization_id == firm().id, *_in_state(state)]
    if wanted:
        fitting.append(containing(wanted, Invoice.number, Lead.name, Lead.company_name))
    query = select(Invoice).join(Invoice.lead).where(*fitting).options(contains_eager(Invoice.lead))
    sort = asked("sort") if asked("sort") in SORTS else ""
    page = page_of(query, Invoice.id, sort=SORTS[sort][1])
    words = words_of(RecordType.INVOICE, [invoice.id for invoice in page.rows])
    return render_template(
        "invoices/index.html",
        drafts=len(drafts_of()),
        page=page,
        words=words,
        wanted=wanted,
        state=state,
        statuses=InvoiceStatus,
        sort=sort,
        sorts={name: _(label) for name, (label, _sort) in SORTS.items()},
        today=today(),
        sums=_sums(fitting, with_leads=bool(wanted)) if wanted or state else None,
        late=_sums([Invoice.organization_id == firm().id, *_in_state(OVERDUE)]),
    )


@dataclass(frozen=True)
class Sums:
    count: int
    total: Decimal
    open: Decimal


def _sums(fitting: Sequence[ColumnElement[bool]], *, with_leads: bool = False) -> Sums:
    """Totals of all matches, not only of this page. Void invoices count as zero, and credits are
    not subtracted.

    Joins leads only if the filter needs them: a firm may have many thousands.
    """
    alive = Invoice.voided_at.is_(None)
    owed = func.greatest(Invoice.total - Invoice.paid_amount, 0)
    query = select(
        func.count(),
        func.coalesce(func.sum(Invoice.total).filter(alive), 0),
        func.coalesce(func.sum(owed).filter(alive, Invoice.total > 0), 0),
    )
    if with_leads:
        query = query.join(Invoice.lead)
    return Sums(*session().execute(query.where(*fitting)).one())


def _in_state(state: str) -> list[ColumnElement[bool]]:
    """`Invoice.status` in SQL."""
    alive = Invoice.voided_at.is_(None)
    owed = and_(Invoice.total > 0, Invoice.total > Invoice.paid_amount)
    match state:
        case InvoiceStatus.OPEN:
            return [alive, owed]
        case _ if state == OVERDUE:
            return [alive, owed, Invoice.due_on < today()]
        case InvoiceStatus.PARTLY_PAID:
            return [alive, owed, Invoice.paid_amount != 0]
        case InvoiceStatus.PAID:
            return [alive, not_(owed), Invoice.total > 0]
        case InvoiceStatus.NOTHING_DUE:
            return [alive, Invoice.total <= 0]
        case InvoiceStatus.VOID:
            return [not_(alive)]
        case _:
            return []


@invoices.get("/new")
def show_new() -> ResponseReturnValue:
    origin = asked_origin()
    if origin is None:
        return choose_lead(_("New invoice"), "invoices.show_new")
    form = _form_for(origin)
    form.ask_about_earlier()
    return render_template("invoices/form.html", form=form, origin=origin, invoice=None)


@invoices.post("")
def create() -> ResponseReturnValue:
    if saved := once.saved_before():
        return saved
    origin, form = required_origin(), InvoiceForm(request.form)
    form.invoiced_before = invoiced_before(origin)
    if not form.is_to_be_saved():
        page = render_template("invoices/form.html", form=form, origin=origin, invoice=None)
        return page, form.status_code
    if form.is_draft:
        return save_draft(
            InvoiceDraft(
                organization_id=firm().id,
                lead=origin.lead,
                job=origin.job,
                proposal=origin.proposal,
            ),
            form,
        )
    invoice = new_invoice(origin)
    form.apply_to(invoice)
    form.save_lines(invoice.lines, InvoiceLine)
    return save_new(invoice)


def new_invoice(origin: Origin) -> Invoice:
    """With the next number. Billing a proposal means that it was agreed, unless the client has said
    otherwise, perhaps a moment ago."""
    if origin.proposal and origin.proposal.status == ProposalStatus.DECLINED:
        flash(_("Your client declined this proposal. It stays declined."), "warn")
    elif origin.proposal:
        origin.proposal.status = ProposalStatus.ACCEPTED
    return Invoice(
        organization_id=firm().id,
        lead=origin.lead,
        job=origin.job,
        proposal=origin.proposal,
        number=next_invoice_number(),
    )


def save_new(invoice: Invoice) -> ResponseReturnValue:
    """Commits, and goes to its page."""
    session().add(invoice)
    session().flush()
    once.remember(url_for("invoices.show", invoice_id=invoice.id))
    session().commit()
    flash(_("Invoice %(number)s is saved.", number=invoice.number), "good")
    return redirect(url_for("invoices.show", invoice_id=invoice.id), 303)


def save_draft(draft: InvoiceDraft, form: InvoiceForm) -> ResponseReturnValue:
    """Keeps what was typed, and goes to the draft's page. Commits."""
    form.apply_to(draft)
    draft.saved_at = datetime.now(UTC)
    form.save_lines(draft.lines, InvoiceDraftLine)
    session().add(draft)
    session().flush()
    address = url_for("invoice_drafts.show", draft_id=draft.id)
    once.remember(address)
    session().commit()
    flash(_("The draft is saved. Nothing is sent until you finish it."), "good")
    return redirect(address, 303)


@invoices.get("/<key:invoice_id>")
def show(invoice_id: int) -> ResponseReturnValue:
    invoice = own(Invoice, invoice_id)
    payment_ids = [payment.id for payment in invoice.payments]
    return render_template(
        "invoices/show.html",
        invoice=invoice,
        client=client_card(session(), invoice, dunahub().config.base_url),
        panel=panel_of(RecordType.INVOICE, invoice.id),
        words=words_of(RecordType.PAYMENT, payment_ids),
    )


@invoices.get("/<key:invoice_id>/print")
def show_print(invoice_id: int) -> ResponseReturnValue:
    return show_sheet(own(Invoice, invoice_id), "invoice")


@invoices.get("/<key:invoice_id>/pdf")
def show_pdf(invoice_id: int) -> ResponseReturnValue:
    return send_pdf(own(Invoice, invoice_id), asked("language"))


@invoices.get("/<key:invoice_id>/edit")
def show_edit(invoice_id: int) -> ResponseReturnValue:
    invoice = own(Invoice, invoice_id)
    if invoice.voided_at:
        return _refuse_change(invoice)
    form = NumberedForm.showing(invoice)
    return render_template(
        "invoices/form.html",
        form=form,
        invoice=invoice,
        **fix_of(RecordType.INVOICE, invoice.id, asked("fix")),
    )


@invoices.post("/<key:invoice_id>")
def update(invoice_id: int) -> ResponseReturnValue:
    invoice, form = own(Invoice, invoice_id, locked=True), NumberedForm(request.form)
    if invoice.voided_at:
        return _refuse_change(invoice)
    form.number.data = form.number.data or invoice.number
    if not form.is_to_be_saved(invoice) or not _write(invoice, form):
        page = render_template(
            "invoices/form.html",
            form=form,
            invoice=invoice,
            **fix_of(RecordType.INVOICE, invoice.id, asked("fix")),
        )
        return page, form.status_code
    note("invoice.changed", organization_id=firm().id, number=invoice.number)
    session().commit()
    flash(_("Invoice %(number)s is saved.", number=invoice.number), "good")
    return redirect(url_for("invoices.show", invoice_id=invoice.id), 303)


@invoices.get("/<key:invoice_id>/void")
def show_void(invoice_id: int) -> ResponseReturnValue:
    invoice = own(Invoice, invoice_id)
    if invoice.voided_at:
        return _refuse_change(invoice)
    return _void_page(invoice)


@invoices.post("/<key:invoice_id>/void")
def void(invoice_id: int) -> ResponseReturnValue:
    invoice = own(Invoice, invoice_id, locked=True)
    if invoice.voided_at:
        return _refuse_change(invoice)
    if request.form.get("kept", "") != str(invoice.kept):  # a payment or a refund meanwhile
        flash(_("What was paid on it has changed since you opened this page."), "warn")
        return _void_page(invoice), 422
    invoice.voided_at = datetime.now(UTC)
    recording.take_off_goodwill(session(), invoice)
    note("invoice.voided", organization_id=firm().id, number=invoice.number)
    session().commit()
    flash(_("Invoice %(number)s is voided.", number=invoice.number))
    return redirect(url_for("invoices.show", invoice_id=invoice.id), 303)


def _void_page(invoice: Invoice) -> str:
    on_its_way = paying.on_its_way(session(), invoice.id)
    return render_template("invoices/void.html", invoice=invoice, on_its_way=on_its_way)


def today() -> date:
    """Today in the organization's time zone."""
    return firm().day_at(datetime.now(UTC))


def _form_for(origin: Origin) -> InvoiceForm:
    proposal, job, head = origin.proposal, origin.job, letterhead()
    form = InvoiceForm.blank(
        proposal.lines if proposal else job.lines if job else (),
        issued_on=today(),
        due_on=today() + timedelta(days=head.due_days),
        memo=head.message,
        tax_rate=proposal.tax_rate if proposal else firm().tax_rate,
        **_discount_of(proposal),
    )
    form.invoiced_before = invoiced_before(origin)
    return form


def _discount_of(proposal: Proposal | None) -> dict[str, object]:
    if proposal is None:
        return {}
    return {
        "discount_kind": proposal.discount_kind.value,
        "discount_value": proposal.discount_value,
    }


def invoiced_before(origin: Origin) -> Sequence[Invoice]:
    """Invoices from the same job or proposal. Locks it, so that two
    people don't both create one."""
    source = origin.proposal or origin.job
    if source is None:
        return ()
    session().refresh(source, with_for_update=request.method == "POST")
    same = Invoice.proposal_id if origin.proposal else Invoice.job_id
    query = select(Invoice).where(same == source.id, Invoice.voided_at.is_(None))
    return session().scalars(query.order_by(Invoice.id)).all()


def _write(invoice: Invoice, form: NumberedForm) -> bool:
    """Whether the number was free, as decided by the unique index."""
    try:
        with session().begin_nested(), session().no_autoflush:
            form.apply_to(invoice)
            form.save_lines(invoice.lines, InvoiceLine)
    except IntegrityError as problem:
        if not breaks(problem, "uq_invoices_organization_id_number"):
            raise
        form.number.errors = [_("Another invoice has this number.")]
        return False
    return True


def _refuse_change(invoice: Invoice) -> ResponseReturnValue:
    flash(
        _("Invoice %(number)s is voided and can't be changed anymore.", number=invoice.number),
        "warn",
    )
    return redirect(url_for("invoices.show", invoice_id=invoice.id), 303)
