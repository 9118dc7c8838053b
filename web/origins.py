"""The lead, job or proposal that a new document is created from."""

from dataclasses import dataclass

from flask import abort, render_template, request
from sqlalchemy import Select, select

from models.sales import Job, Lead, Proposal
from web.access import firm, own
from web.paging import asked, containing, page_of


@dataclass(frozen=True)
class Origin:
    lead: Lead
    job: Job | None = None
    proposal: Proposal | None = None


def asked_origin() -> Origin | None:
    """The origin named in the URL or form; None if there is none."""
    if key := _asked_key("proposal"):
        proposal = own(Proposal, key)
        return Origin(_not_deleted(proposal.lead), proposal=proposal)
    if key := _asked_key("job"):
        job = own(Job, key)
        return Origin(_not_deleted(job.lead), job=job)
    if key := _asked_key("lead"):
        return Origin(_not_deleted(own(Lead, key)))
    return None


def required_origin() -> Origin:
    return asked_origin() or abort(400)


def choose_lead(title: str, endpoint: str) -> str:
    """The page that asks which customer a new document is for."""
    wanted = asked("q")
    page = page_of(leads_like(wanted), Lead.id)
    return render_template(
        "leads/choose.html", page=page, wanted=wanted, title=title, endpoint=endpoint
    )


def leads_like(wanted: str) -> Select[Lead]:
    """The firm's leads whose name, company, e-mail or phone contains this text; "" finds all."""
    leads = select(Lead).where(Lead.organization_id == firm().id, Lead.deleted_at.is_(None))
    if not wanted:
        return leads
    full_name = Lead.given_name + " " + Lead.family_name
    return leads.where(
        containing(wanted, Lead.name, full_name, Lead.company_name, Lead.email, Lead.phone)
    )


def _asked_key(name: str) -> int | None:
    text = request.values.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        abort(404)
    return int(text)


def _not_deleted(lead: Lead) -> Lead:
    if lead.deleted_at:
        abort(404)
    return lead
