"""Drafts of invoices, on the pages of what they are for."""

from collections.abc import Sequence

from sqlalchemy import select

from models.sales import InvoiceDraft, Job, Lead, Proposal
from web.access import firm, session


def drafts_of(source: Lead | Job | Proposal | None = None) -> Sequence[InvoiceDraft]:
    """Newest first: those of a lead, a job or a proposal, or all of the firm's."""
    query = select(InvoiceDraft).where(InvoiceDraft.organization_id == firm().id)
    match source:
        case Lead():
            query = query.where(InvoiceDraft.lead_id == source.id)
        case Job():
            query = query.where(InvoiceDraft.job_id == source.id)
        case Proposal():
            query = query.where(InvoiceDraft.proposal_id == source.id)
    return session().scalars(query.order_by(InvoiceDraft.id.desc())).all()
