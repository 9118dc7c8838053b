"""The secret address of a document. Created when first needed, and kept until it is revoked."""

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models.clients import ClientLink
from models.sales import Invoice, Proposal


def link_of(session: Session, document: Invoice | Proposal) -> ClientLink | None:
    """The document's open link, if it has one."""
    return session.scalar(select(ClientLink).where(_of(document), ClientLink.revoked_at.is_(None)))


def make_link(session: Session, document: Invoice | Proposal) -> ClientLink:
    """Returns the document's open link, creating it if needed.
    Concurrent callers get the same one."""
    column = "invoice_id" if isinstance(document, Invoice) else "proposal_id"
    session.execute(
        insert(ClientLink)
        .values({"organization_id": document.organization_id, column: document.id})
        .on_conflict_do_nothing(
            index_elements=[column], index_where=ClientLink.revoked_at.is_(None)
        )
    )
    link = link_of(session, document)
    assert link is not None
    return link


def revoke_link(session: Session, document: Invoice | Proposal, token: str) -> bool:
    """Revokes this link; False if it isn't open any more. The next link has a new address."""
    revoked = session.execute(
        update(ClientLink)
        .where(_of(document), ClientLink.token == token, ClientLink.revoked_at.is_(None))
        .values(revoked_at=func.clock_timestamp())
        .returning(ClientLink.id)
    )
    return revoked.first() is not None


def _of(document: Invoice | Proposal) -> ColumnElement[bool]:
    if isinstance(document, Invoice):
        return ClientLink.invoice_id == document.id
    return ClientLink.proposal_id == document.id
