"""Drafts of invoices: kept without a number, sent to nobody, until they are finished or deleted."""

from datetime import timedelta
from decimal import Decimal

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import contains_eager, selectinload

from models.sales import Invoice, InvoiceDraft, InvoiceDraftLine, InvoiceLine, Lead
from views.invoices import (
    invoiced_before,
    new_invoice,
    save_draft,
    save_new,
    today,
)
from web import once
from web.access import firm, firms_only, own, session
from web.invoice_form import InvoiceForm
from web.languages import _
from web.lines import totals_of_document
from web.origins import Origin
from web.paging import asked, containing, page_of

invoice_drafts = Blueprint("invoice_drafts", __name__, url_prefix="/invoices/drafts")
invoice_drafts.before_request(firms_only)


@invoice_drafts.get("")
def index() -> ResponseReturnValue:
    wanted = asked("q")
    query = (
        select(InvoiceDraft)
        .join(InvoiceDraft.lead)
        .where(InvoiceDraft.organization_id == firm().id)
        .options(contains_eager(InvoiceDraft.lead), selectinload(InvoiceDraft.lines))
    )
    if wanted:
        query = query.where(containing(wanted, Lead.name, Lead.company_name))
    page = page_of(query, InvoiceDraft.id)
    totals = {draft.id: totals_of_document(draft) for draft in page.rows}
    return render_template("invoices/drafts.html", page=page, wanted=wanted, totals=totals)


@invoice_drafts.get("/<key:draft_id>")
def show(draft_id: int) -> ResponseReturnValue:
    draft = own(InvoiceDraft, draft_id)
    form = InvoiceForm.showing(draft)
    _move_to_today(draft, form)
    return _page(draft, form)


@invoice_drafts.post("/<key:draft_id>")
def update(draft_id: int) -> ResponseReturnValue:
    """Saves the draft, or finishes it: then it becomes an invoice, with the next number."""
    if saved := once.saved_before():
        return saved
    draft, form = own(InvoiceDraft, draft_id, locked=True), InvoiceForm(request.form)
    origin = _origin(draft)
    form.invoiced_before = invoiced_before(origin)
    if not form.is_to_be_saved(draft):
        return _page(draft, form), form.status_code
    if form.is_draft:
        return save_draft(draft, form)
    if draft.lead.deleted_at:
        flash(
            _(
                "%(name)s was deleted in the meantime, so nothing can be billed.",
                name=draft.lead.name,
            )
        )
        return _page(draft, form), 422  # with what was typed
    form.apply_to(draft)
    form.save_lines(draft.lines, InvoiceDraftLine)  # with what others added to it
    invoice = _finished(draft, origin)
    session().delete(draft)
    return save_new(invoice)


@invoice_drafts.post("/<key:draft_id>/delete")
def delete(draft_id: int) -> ResponseReturnValue:
    session().delete(own(InvoiceDraft, draft_id, locked=True))
    session().commit()
    flash(_("The draft is deleted."))
    return redirect(url_for("invoices.index"), 303)


def _page(draft: InvoiceDraft, form: InvoiceForm) -> str:
    origin = _origin(draft)
    return render_template(
        "invoices/form.html", form=form, origin=origin, invoice=None, draft=draft
    )


def _origin(draft: InvoiceDraft) -> Origin:
    return Origin(draft.lead, job=draft.job, proposal=draft.proposal)


def _move_to_today(draft: InvoiceDraft, form: InvoiceForm) -> None:
    """A draft that was to be issued on the day it was saved is to be issued today, with the same
    time to pay: otherwise one that rested for a month would be overdue at once."""
    rested = today() - firm().day_at(draft.saved_at)
    if draft.issued_on == firm().day_at(draft.saved_at) and rested > timedelta(0):
        form.issued_on.data = draft.issued_on + rested
        form.due_on.data = draft.due_on + rested


def _finished(draft: InvoiceDraft, origin: Origin) -> Invoice:
    invoice = new_invoice(origin)
    invoice.issued_on, invoice.due_on, invoice.memo = draft.issued_on, draft.due_on, draft.memo
    invoice.tax_rate = draft.tax_rate
    invoice.discount_kind, invoice.discount_value = draft.discount_kind, draft.discount_value
    invoice.lines = [
        InvoiceLine(
            organization_id=draft.organization_id,
            position=position,
            product_id=line.product_id,
            description=line.description,
            quantity=Decimal(1) if line.quantity is None else line.quantity,
            unit_price=line.unit_price,
            taxable=line.taxable,
        )
        for position, line in enumerate(draft.lines, start=1)
    ]
    return invoice
