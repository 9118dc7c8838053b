"""Proposals: what work would cost, with lines."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import joinedload, selectinload
from wtforms import BooleanField

from languages import N_
from models.sales import Invoice, Lead, Proposal, ProposalLine, ProposalStatus, RecordType
from presenters.client_card import client_card
from presenters.status import words_of
from presenters.unfinished import drafts_of
from views.sheets import send_pdf, show_sheet
from web import once
from web.access import dunahub, firm, firms_only, own, session
from web.formats import money
from web.forms import line, status_field, tax_rate_field
from web.languages import _
from web.lines import DiscountedForm, Document, totals_of_document
from web.numbers import next_proposal_number
from web.origins import asked_origin, choose_lead, required_origin
from web.paging import asked, containing, page_of

proposals = Blueprint("proposals", __name__, url_prefix="/proposals")
proposals.before_request(firms_only)


class ProposalForm(DiscountedForm):
    title = line(
        N_("What are you proposing?"),
        required=N_("Describe in a few words what you are proposing."),
    )
    status = status_field(ProposalStatus)
    tax_rate = tax_rate_field()

    confirms_accepted = BooleanField(N_("Save it even though the client agreed to something else"))

    def columns(self) -> frozenset[str]:
        return super().columns() | frozenset("title status tax_rate".split())

    def ask(self, record: Document | None) -> None:
        super().ask(record)
        if not isinstance(record, Proposal) or self.status.data != ProposalStatus.ACCEPTED:
            return
        agreed = totals_of_document(record).total
        if record.status == ProposalStatus.ACCEPTED and self.totals_now.total != agreed:
            sentence = _(
                "This proposal was accepted at %(agreed)s. The new total is %(total)s.",
                agreed=money(agreed),
                total=money(self.totals_now.total),
            )
            self.asked.append((self.confirms_accepted, sentence))


@proposals.get("")
def index() -> ResponseReturnValue:
    wanted = asked("q")
    query = (
        select(Proposal)
        .where(Proposal.organization_id == firm().id)
        .options(joinedload(Proposal.lead), selectinload(Proposal.lines))
    )
    if wanted:
        query = query.join(Proposal.lead).where(
            containing(wanted, Proposal.number, Proposal.title, Lead.name, Lead.company_name)
        )
    if asked("state"):
        query = query.where(Proposal.status == asked("state"))
    page = page_of(query, Proposal.id)
    totals = {row.id: totals_of_document(row) for row in page.rows}
    return render_template(
        "proposals/index.html",
        page=page,
        totals=totals,
        wanted=wanted,
        state=asked("state"),
        statuses=ProposalStatus,
    )


@proposals.get("/new")
def show_new() -> ResponseReturnValue:
    origin = asked_origin()
    if origin is None:
        return choose_lead(_("New proposal"), "proposals.show_new")
    form = ProposalForm.blank(tax_rate=firm().tax_rate)
    return render_template("proposals/form.html", form=form, lead=origin.lead, proposal=None)


@proposals.post("")
def create() -> ResponseReturnValue:
    if saved := once.saved_before():
        return saved
    lead, form = required_origin().lead, ProposalForm(request.form)
    if not form.is_to_be_saved():
        page = render_template("proposals/form.html", form=form, lead=lead, proposal=None)
        return page, form.status_code
    proposal = Proposal(organization_id=firm().id, lead=lead, number=next_proposal_number())
    form.apply_to(proposal)
    form.save_lines(proposal.lines, ProposalLine)
    session().add(proposal)
    session().flush()
    once.remember(url_for("proposals.show", proposal_id=proposal.id))
    session().commit()
    flash(_("Proposal %(number)s is saved.", number=proposal.number), "good")
    return redirect(url_for("proposals.show", proposal_id=proposal.id), 303)


@proposals.get("/<key:proposal_id>")
def show(proposal_id: int) -> ResponseReturnValue:
    proposal = own(Proposal, proposal_id)
    found = select(Invoice).where(Invoice.proposal_id == proposal.id).order_by(Invoice.id.desc())
    invoices = session().scalars(found).all()
    return render_template(
        "proposals/show.html",
        proposal=proposal,
        client=client_card(session(), proposal, dunahub().config.base_url),
        totals=totals_of_document(proposal),
        invoices=invoices,
        drafts=drafts_of(proposal),
        words=words_of(RecordType.INVOICE, [invoice.id for invoice in invoices]),
    )


@proposals.get("/<key:proposal_id>/print")
def show_print(proposal_id: int) -> ResponseReturnValue:
    return show_sheet(own(Proposal, proposal_id), "proposal")


@proposals.get("/<key:proposal_id>/pdf")
def show_pdf(proposal_id: int) -> ResponseReturnValue:
    return send_pdf(own(Proposal, proposal_id), asked("language"))


@proposals.get("/<key:proposal_id>/edit")
def show_edit(proposal_id: int) -> ResponseReturnValue:
    proposal = own(Proposal, proposal_id)
    form = ProposalForm.showing(proposal)
    return render_template("proposals/form.html", form=form, lead=proposal.lead, proposal=proposal)


@proposals.post("/<key:proposal_id>")
def update(proposal_id: int) -> ResponseReturnValue:
    proposal, form = own(Proposal, proposal_id, locked=True), ProposalForm(request.form)
    if not form.is_to_be_saved(proposal):
        page = render_template(
            "proposals/form.html", form=form, lead=proposal.lead, proposal=proposal
        )
        return page, form.status_code
    form.apply_to(proposal)
    form.save_lines(proposal.lines, ProposalLine)
    session().commit()
    flash(_("Proposal %(number)s is saved.", number=proposal.number), "good")
    return redirect(url_for("proposals.show", proposal_id=proposal.id), 303)
