"""Leads: people and firms that work is done for."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from wtforms import StringField
from wtforms.validators import ValidationError

from languages import N_
from models.sales import Invoice, Job, Lead, Proposal, RecordType
from presenters.panel import fix_of, panel_of
from presenters.status import words_of
from presenters.unfinished import drafts_of
from web import once
from web.access import firm, firms_only, own, session
from web.forms import EditForm, area, line
from web.languages import _
from web.origins import leads_like
from web.paging import asked, page_of

leads = Blueprint("leads", __name__, url_prefix="/leads")
leads.before_request(firms_only)

Document = TypeVar("Document", Job, Proposal, Invoice)

MAX_NAME_PART = 100  # of a contact name
NEW_DOCUMENTS = {"invoices.show_new", "proposals.show_new", "jobs.show_new"}
DOCUMENTS_SHOWN = 20  # of each document type on a lead's page


class LeadForm(EditForm):
    name = line(N_("Name"), required=N_("Who is it? Type a name."))
    given_name = line(N_("First name"), most=MAX_NAME_PART)
    family_name = line(N_("Last name"), most=MAX_NAME_PART)
    company_name = line(N_("Company"))
    email = line(N_("E-mail"))
    phone = line(N_("Phone"))
    street = line(N_("Street"))
    city = line(N_("City"))
    state = line(N_("State"))
    postal_code = line(N_("ZIP code"))
    notes = area(N_("Notes"))

    def __init__(self, *told: Any, **named: Any) -> None:
        super().__init__(*told, **named)
        if not firm().has_quickbooks:  # Brazil
            self.state.label.text = _("State (UF)")
            self.postal_code.label.text = _("Postal code (CEP)")

    def columns(self) -> frozenset[str]:
        return frozenset(
            "name given_name family_name company_name email phone"
            " street city state postal_code notes".split()
        )

    def validate_email(self, field: StringField) -> None:
        text = field.data or ""
        parts = [part for part in re.split(r"[,;]", text) if part.strip()] or [text]
        if text and any(
            "@" not in part.strip().strip("@") or any(c.isspace() for c in part.strip())
            for part in parts
        ):
            raise ValidationError(_("This isn't an e-mail address. Check it for typos."))


@leads.get("")
def index() -> ResponseReturnValue:
    wanted = asked("q")
    page = page_of(leads_like(wanted), Lead.id)
    words = words_of(RecordType.LEAD, [lead.id for lead in page.rows])
    return render_template("leads/index.html", page=page, words=words, wanted=wanted)


@leads.get("/new")
def show_new() -> ResponseReturnValue:
    form = LeadForm(data={"name": asked("name")})
    return render_template("leads/form.html", form=form, lead=None, next=_wanted_document())


@leads.post("")
def create() -> ResponseReturnValue:
    if saved := once.saved_before():
        return saved
    form = LeadForm(request.form)
    if not form.validate():
        page = render_template("leads/form.html", form=form, lead=None, next=_wanted_document())
        return page, 422
    lead = Lead(organization_id=firm().id)
    form.apply_to(lead)
    session().add(lead)
    session().flush()
    document = _wanted_document()
    page = url_for(document, lead=lead.id) if document else url_for("leads.show", lead_id=lead.id)
    once.remember(page)
    session().commit()
    flash(_("Lead %(name)s is saved.", name=lead.name), "good")
    return redirect(page, 303)


@leads.get("/<key:lead_id>")
def show(lead_id: int) -> ResponseReturnValue:
    lead = own(Lead, lead_id)
    invoices = _latest(Invoice, lead)
    return render_template(
        "leads/show.html",
        lead=lead,
        panel=panel_of(RecordType.LEAD, lead.id),
        invoices=invoices,
        drafts=drafts_of(lead),
        jobs=_latest(Job, lead),
        proposals=_latest(Proposal, lead),
        words=words_of(RecordType.INVOICE, [invoice.id for invoice in invoices]),
    )


@leads.get("/<key:lead_id>/edit")
def show_edit(lead_id: int) -> ResponseReturnValue:
    lead = _alive(lead_id)
    form = LeadForm.showing(lead)
    return render_template(
        "leads/form.html",
        form=form,
        lead=lead,
        **fix_of(RecordType.LEAD, lead.id, asked("fix")),
    )


@leads.post("/<key:lead_id>")
def update(lead_id: int) -> ResponseReturnValue:
    lead, form = _alive(lead_id), LeadForm(request.form)
    if not form.validate():
        return render_template(
            "leads/form.html",
            form=form,
            lead=lead,
            **fix_of(RecordType.LEAD, lead.id, asked("fix")),
        ), 422
    form.apply_to(lead)
    session().commit()
    flash(_("Lead %(name)s is saved.", name=lead.name), "good")
    return redirect(url_for("leads.show", lead_id=lead.id), 303)


@leads.get("/<key:lead_id>/delete")
def show_delete(lead_id: int) -> ResponseReturnValue:
    lead = _alive(lead_id)
    return render_template("leads/delete.html", lead=lead, drafts=len(drafts_of(lead)))


@leads.post("/<key:lead_id>/delete")
def delete(lead_id: int) -> ResponseReturnValue:
    lead = _alive(lead_id)
    lead.deleted_at = datetime.now(UTC)
    session().commit()
    flash(_("Lead %(name)s is deleted. Its invoices and payments stay.", name=lead.name))
    return redirect(url_for("leads.index"), 303)


def _wanted_document() -> str | None:
    """The new document that the person was creating when the lead was missing."""
    wanted = request.args.get("next")
    return wanted if wanted in NEW_DOCUMENTS else None


def _latest(model: type[Document], lead: Lead) -> Sequence[Document]:
    newest = (
        select(model)
        .where(model.lead_id == lead.id)
        .order_by(model.id.desc())
        .limit(DOCUMENTS_SHOWN)
    )
    return session().scalars(newest).all()


def _alive(lead_id: int) -> Lead:
    lead = own(Lead, lead_id)
    if lead.deleted_at:
        abort(404)
    return lead
