"""Creates, shows and revokes the secret address of a document."""

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue

from clients.links import make_link, revoke_link
from models.sales import Invoice, Proposal
from web.access import firm, firms_only, note, own, session
from web.languages import _

client_links = Blueprint("client_links", __name__)
client_links.before_request(firms_only)


@client_links.post("/invoices/<key:invoice_id>/link")
def make_for_invoice(invoice_id: int) -> ResponseReturnValue:
    return _make(own(Invoice, invoice_id))


@client_links.post("/invoices/<key:invoice_id>/link/revoke")
def revoke_for_invoice(invoice_id: int) -> ResponseReturnValue:
    return _revoke(own(Invoice, invoice_id))


@client_links.post("/proposals/<key:proposal_id>/link")
def make_for_proposal(proposal_id: int) -> ResponseReturnValue:
    return _make(own(Proposal, proposal_id))


@client_links.post("/proposals/<key:proposal_id>/link/revoke")
def revoke_for_proposal(proposal_id: int) -> ResponseReturnValue:
    return _revoke(own(Proposal, proposal_id))


def page_of(document: Invoice | Proposal) -> str:
    if isinstance(document, Invoice):
        return url_for("invoices.show", invoice_id=document.id)
    return url_for("proposals.show", proposal_id=document.id)


def link_made_at(document: Invoice | Proposal) -> str:
    """The address of the form that makes a link to this document."""
    if isinstance(document, Invoice):
        return url_for("client_links.make_for_invoice", invoice_id=document.id)
    return url_for("client_links.make_for_proposal", proposal_id=document.id)


def is_void(document: Invoice | Proposal) -> bool:
    return isinstance(document, Invoice) and document.voided_at is not None


def refuse_void(document: Invoice | Proposal) -> ResponseReturnValue:
    flash(_("This invoice is voided, so it can't be sent to your client."), "bad")
    return redirect(page_of(document), 303)


def _make(document: Invoice | Proposal) -> ResponseReturnValue:
    if is_void(document):
        return refuse_void(document)
    make_link(session(), document)
    session().commit()
    return redirect(page_of(document) + "#client", 303)


def _revoke(document: Invoice | Proposal) -> ResponseReturnValue:
    token = request.form.get("link", "").replace("\x00", "")
    if revoke_link(session(), document, token):
        kind = "proposal" if isinstance(document, Proposal) else "invoice"
        note(
            "client.link_revoked",
            organization_id=firm().id,
            number=document.number,
            document=kind,
        )
        flash(_("The link no longer works."), "good")
    else:
        flash(
            _("This has changed since you opened the page. Look at it again, then decide."), "warn"
        )
    session().commit()
    return redirect(page_of(document) + "#client", 303)
