"""The e-mail that carries a document to a client: what it says unless the firm writes otherwise."""

from clients.paper import Paper
from languages import N_, Reader
from models.clients import LetterKind
from models.sales import Invoice, Proposal

LINK = "{link}"  # where the address goes; a text without it gets it at the end

INVOICE = N_(
    "Hello %(name)s,\n\nhere is invoice %(number)s over %(sum)s, due %(day)s. You can see it and"
    " pay it here:\n\n%(link)s\n\nThank you!\n%(firm)s"
)
REMINDER = N_(
    "Hello %(name)s,\n\na friendly reminder: invoice %(number)s was due %(day)s, and %(sum)s is"
    " still open. You can see it and pay it here:\n\n%(link)s\n\nIf you have paid already, please"
    " ignore this message.\n\nThank you!\n%(firm)s"
)
PROPOSAL = N_(
    "Hello %(name)s,\n\nhere is our proposal %(number)s over %(sum)s. You can see it and accept it"
    " here:\n\n%(link)s\n\nThank you!\n%(firm)s"
)


def draft(
    document: Invoice | Proposal, paper: Paper, kind: LetterKind, reader: Reader
) -> tuple[str, str]:
    """Subject and text, in the client's language, with a place for the link."""
    lead = document.lead
    values = {
        "name": lead.given_name or lead.name,
        "number": document.number,
        "sum": paper.due or paper.sums[-1][1],
        "day": reader.day(document.due_on.isoformat()) if isinstance(document, Invoice) else "",
        "link": LINK,
        "firm": paper.firm.name,
        "document": paper.title,
    }
    if isinstance(document, Proposal):
        subject, text = N_("%(document)s from %(firm)s"), PROPOSAL
    elif kind == LetterKind.REMINDER:
        subject, text = N_("Reminder: %(document)s from %(firm)s"), REMINDER
    else:
        subject, text = N_("%(document)s from %(firm)s"), INVOICE
    return reader.say(subject) % values, reader.say(text) % values


def with_link(body: str, address: str) -> str:
    """The text with the client's address in it, wherever the firm left the place for it."""
    return body.replace(LINK, address) if LINK in body else f"{body}\n\n{address}"
