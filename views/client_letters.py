"""Send to client: an e-mail with the document as PDF and the link to its page."""

from decimal import Decimal

from email_validator import EmailNotValidError, validate_email
from flask import Blueprint, flash, redirect, render_template, request
from flask.typing import ResponseReturnValue
from wtforms import BooleanField, StringField
from wtforms.validators import StopValidation

from clients.letters import LINK, draft
from clients.links import link_of, make_link
from clients.paper import paper_of
from languages import LANGUAGES, N_, reader_of
from models.clients import ClientLetter, LetterKind
from models.sales import Invoice, Proposal, ProposalStatus
from notices import mail
from quickbooks.cleaning import addresses_in
from views.client_links import is_void, link_made_at, page_of, refuse_void
from views.sheets import address_of
from web import once
from web.access import dunahub, firm, firms_only, note, own, person, session
from web.formats import money
from web.forms import Form, area, line
from web.languages import _, language
from web.paging import asked
from web.tallies import count

A_DAY = 24 * 60 * 60  # seconds
# Whoever gets into an account must not be able to send spam from our address.
MAX_LETTERS_A_DAY = 200  # of an organization
MAX_LETTERS_TO_ONE = 40  # a day: a property manager may get dozens of invoices

client_letters = Blueprint("client_letters", __name__)
client_letters.before_request(firms_only)


class LetterForm(Form):
    to_address = line(N_("Recipient"), required=N_("To which address?"), most=254)
    subject = line(N_("Subject"), required=N_("Write a subject."), most=200)
    body = area(N_("Text"), required=N_("Write something to your client."))
    copies_me = BooleanField(N_("Send me a copy"))

    def validate_to_address(self, field: StringField) -> None:
        try:
            field.data = validate_email(field.data or "", check_deliverability=False).normalized
        except EmailNotValidError:
            raise StopValidation(_("This is not an e-mail address.")) from None


@client_letters.get("/invoices/<key:invoice_id>/send")
def show_invoice(invoice_id: int) -> ResponseReturnValue:
    return _show(own(Invoice, invoice_id))


@client_letters.post("/invoices/<key:invoice_id>/send")
def send_invoice(invoice_id: int) -> ResponseReturnValue:
    return once.saved_before() or _send(own(Invoice, invoice_id))


@client_letters.get("/proposals/<key:proposal_id>/send")
def show_proposal(proposal_id: int) -> ResponseReturnValue:
    return _show(own(Proposal, proposal_id))


@client_letters.post("/proposals/<key:proposal_id>/send")
def send_proposal(proposal_id: int) -> ResponseReturnValue:
    # Locked: the client may be answering it by an earlier link.
    return once.saved_before() or _send(own(Proposal, proposal_id, locked=True))


def _show(document: Invoice | Proposal) -> ResponseReturnValue:
    if is_void(document):
        return refuse_void(document)
    reader = reader_of(_language())
    paper = paper_of(session(), document, reader)
    subject, body = draft(document, paper, _kind(), reader)
    form = LetterForm(
        data={
            "to_address": next(iter(addresses_in(document.lead.email)), ""),
            "subject": subject,
            "body": body,
        }
    )
    return _page(document, form)


def _page(document: Invoice | Proposal, form: LetterForm) -> str:
    link = link_of(session(), document)
    return render_template(
        "client/send.html",
        form=form,
        document=document,
        back=page_of(document),
        kind=_kind(),
        chosen=_language(),
        is_possible=mail.is_possible(dunahub().config),
        address=address_of(link) if link else "",
        link_made_at=link_made_at(document),
        place=LINK,
        due=_due(document),
    )


def _send(document: Invoice | Proposal) -> ResponseReturnValue:
    """Stores the letter with the request; a job sends it, and retries if needed."""
    if is_void(document):
        return refuse_void(document)
    form = LetterForm(request.form)
    if isinstance(document, Invoice) and request.form.get("due") != _due(document):
        now = money(max(document.balance, Decimal(0)))
        flash(
            _(
                "What is due has changed since you opened this page. It is %(due)s now: check the"
                " text, then send it.",
                due=now,
            ),
            "warn",
        )
        return _page(document, form), 422
    if not mail.is_possible(dunahub().config) or not form.validate():
        return _page(document, form), 422
    if not _may_write_to(form.to_address.data or ""):
        form.to_address.errors = [
            _("Too many e-mails were sent in the last 24 hours. Send this one tomorrow.")
        ]
        return _page(document, form), 429, {"Retry-After": str(A_DAY)}
    link = make_link(session(), document)
    link.language = _language()
    session().add(
        ClientLetter(
            organization_id=firm().id,
            link=link,
            kind=_kind(),
            to_address=form.to_address.data,
            copy_to=person().email if form.copies_me.data else None,
            subject=form.subject.data,
            body=form.body.data,
            language=_language(),
            sent_by_id=person().id,
        )
    )
    if isinstance(document, Proposal) and document.status == ProposalStatus.DRAFT:
        document.status = ProposalStatus.SENT
    note(
        "client.letter_sent",
        organization_id=firm().id,
        number=document.number,
        document="proposal" if isinstance(document, Proposal) else "invoice",
        to=form.to_address.data,
    )
    page = page_of(document)
    once.remember(page)
    session().commit()
    flash(_("It is being sent to %(address)s.", address=form.to_address.data), "good")
    return redirect(page, 303)


def _due(document: Invoice | Proposal) -> str:
    """What the text was written about; "" for a proposal."""
    return str(document.balance) if isinstance(document, Invoice) else ""


def _may_write_to(address: str) -> bool:
    """Counts the letter, and says whether it is within the limits."""
    key = f"letters of {firm().id}"
    to_one = count(f"{key} to {address.casefold()}", A_DAY)
    return to_one <= MAX_LETTERS_TO_ONE and count(key, A_DAY) <= MAX_LETTERS_A_DAY


def _kind() -> LetterKind:
    return LetterKind.REMINDER if asked("kind") == LetterKind.REMINDER else LetterKind.FIRST


def _language() -> str:
    wanted = asked("language")
    return wanted if wanted in LANGUAGES else language()
