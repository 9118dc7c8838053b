"""Numbers per organization, consecutive and unique."""

from sqlalchemy import exists, select, update
from sqlalchemy.orm import InstrumentedAttribute

from models.accounts import Organization
from models.sales import Invoice, Proposal
from web.access import firm, session


def next_invoice_number() -> str:
    return _next(Organization.last_invoice_number, Invoice)


def next_proposal_number() -> str:
    return _next(Organization.last_proposal_number, Proposal)


def _next(counter: InstrumentedAttribute[int], model: type[Invoice] | type[Proposal]) -> str:
    """Locks the counter's row until commit, so two people never get the same number."""
    while True:
        drawn = session().execute(
            update(Organization)
            .where(Organization.id == firm().id)
            .values({counter: counter + 1})
            .returning(counter)
        )
        number = str(drawn.scalar_one())
        if not _is_taken(model, number):  # by a document whose number was typed by a person
            return number


def _is_taken(model: type[Invoice] | type[Proposal], number: str) -> bool:
    same = exists().where(model.organization_id == firm().id, model.number == number)
    return session().scalar(select(same)) or False
