"""The e-mail that carries a document to a client, as first drafted; the firm may rewrite it."""

from clients.paper import Paper
from languages import Reader
from models.clients import LetterKind
from models.sales import Invoice, Proposal, ProposalStatus
from notices.wording import letter_words

LINK = "{link}"  # placeholder for the address
ANSWERED = frozenset({ProposalStatus.ACCEPTED, ProposalStatus.DECLINED})


def draft(
    document: Invoice | Proposal, paper: Paper, kind: LetterKind, reader: Reader
) -> tuple[str, str]:
    """Subject and text, in the client's language, with a place for the link."""
    lead = document.lead
    return letter_words(
        _template(document, kind),
        reader,
        name=lead.given_name or lead.name,
        number=paper.number,
        sum=paper.due or paper.sums[-1][1],
        day=reader.day(document.due_on.isoformat()) if isinstance(document, Invoice) else "",
        link=LINK,
        firm=paper.firm.name,
        document=paper.title,
        is_part_paid=isinstance(document, Invoice) and 0 < document.balance < document.total,
        pays_online=paper.takes_payments,
        is_answered=isinstance(document, Proposal) and document.status in ANSWERED,
    )


def _template(document: Invoice | Proposal, kind: LetterKind) -> str:
    if isinstance(document, Proposal):
        return "client_proposal"
    return "client_reminder" if kind == LetterKind.REMINDER else "client_invoice"


def with_link(body: str, address: str) -> str:
    """The text with the link in it: where the firm left its placeholder, or at the end."""
    return body.replace(LINK, address) if LINK in body else f"{body}\n\n{address}"
