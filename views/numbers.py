"""Numbers given per organization, one after another, without gaps or doubles."""

from sqlalchemy import exists, select, update

from models.accounts import Organization
from models.sales import Invoice, Proposal
from views.access import firm, session


def next_invoice_number() -> str:
    """The counter's row is locked until commit, so two people never draw the same number."""
    while True:
        drawn = session().execute(
            update(Organization)
            .where(Organization.id == firm().id)
            .values(last_invoice_number=Organization.last_invoice_number + 1)
            .returning(Organization.last_invoice_number)
        )
        number = str(drawn.scalar_one())
        if not _is_taken(Invoice, number):  # by an invoice whose number a person typed
            return number


def next_proposal_number() -> str:
    while True:
        drawn = session().execute(
            update(Organization)
            .where(Organization.id == firm().id)
            .values(last_proposal_number=Organization.last_proposal_number + 1)
            .returning(Organization.last_proposal_number)
        )
        number = str(drawn.scalar_one())
        if not _is_taken(Proposal, number):
            return number


def _is_taken(model: type[Invoice] | type[Proposal], number: str) -> bool:
    same = exists().where(model.organization_id == firm().id, model.number == number)
    return session().scalar(select(same)) or False
