"""The secret address of an invoice or proposal, where a client sees, pays, accepts or declines it.

No sign-in: the token gives access to this one document and nothing else.
"""

import hashlib
import re
from datetime import UTC, datetime
from io import BytesIO

import structlog
from flask import (
    Blueprint,
    Response,
    abort,
    flash,
    redirect,
    render_template,
    request,
    send_file,
    url_for,
)
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select, update

from clients import pdf
from clients.paper import paper_of
from languages import ENGLISH, LANGUAGES, reader_of
from models.accounts import AuditEvent, Organization
from models.clients import ClientLetter, ClientLink
from models.processors import ProcessorAccount
from models.sales import PaymentMethod, Proposal, ProposalStatus
from presenters.client_page import invoice_page
from processors import paying, recording
from processors.paying import Wish
from processors.processor import AccessEnded, Refused, Unreachable
from quickbooks.cleaning import addresses_in
from views.letterhead import logo_of
from views.sheets import address_of
from web.access import dunahub, public, session, step_out, written_apart
from web.languages import _, language, speaking
from web.security import limiter

client_pages = Blueprint("client_pages", __name__, url_prefix="/i")

VIEW_LIMIT = "120 per minute"  # per address: many people behind one address may open many links
ACT_LIMIT = "20 per minute"

_TOKEN = re.compile(r"[A-Za-z0-9_-]{27,64}", re.ASCII)

log = structlog.get_logger()


@client_pages.after_request
def keep_private(response: Response) -> Response:
    """Keeps the page out of search engines. All pages of ours already send no referrer."""
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response


@client_pages.get("/<token>")
@public
@limiter.limit(VIEW_LIMIT)
def show(token: str) -> ResponseReturnValue:
    link = _link(token)
    with speaking(_language(link)):
        if link.revoked_at:
            return render_template("client/revoked.html"), 410
        _note_opened(link)
        document = link.invoice or link.proposal
        assert document
        reader = reader_of(language())
        paper = paper_of(session(), document, reader)
        shared = {
            "paper": paper,
            "link": link,
            "logo": url_for("client_pages.show_logo", token=token),
            "others": {
                code: url_for("client_pages.show", token=token, language=code)
                for code in LANGUAGES
                if code != language()
            },
        }
        if isinstance(document, Proposal):
            return render_template(
                "client/proposal.html", proposal=document, seen=_content_of(document), **shared
            )
        today = link.organization.day_at(datetime.now(UTC))
        progress = paying.under_way(session(), document.id)
        coming = progress.on_its_way
        page = invoice_page(session(), document, paper, _account(link), coming, reader, today)
        awaits = "paid" in request.args and progress.has_open_page and document.balance > 0
        return render_template("client/invoice.html", page=page, awaits=awaits, **shared)


@client_pages.get("/<token>/pdf")
@public
@limiter.limit(VIEW_LIMIT)
def show_pdf(token: str) -> Response:
    link = _open_link(token)
    document = link.invoice or link.proposal
    assert document
    with speaking(_language(link)):
        name, content = pdf.file_of(session(), document, language(), address_of(link))
    return send_file(
        BytesIO(content), mimetype="application/pdf", as_attachment=True, download_name=name
    )


@client_pages.get("/<token>/logo")
@public
@limiter.limit(VIEW_LIMIT)
def show_logo(token: str) -> Response:
    return logo_of(_open_link(token).organization_id)


# --- Paying ---------------------------------------------------------------------------------------


@client_pages.post("/<token>/pay")
@public
@limiter.limit(ACT_LIMIT)
def pay(token: str) -> ResponseReturnValue:
    """Redirects to the processor's page. Two tabs get the same page, which can be paid once."""
    link, processor = _open_link(token), dunahub().processor
    account = _account(link)
    method = request.form.get("method")
    invoice = link.invoice
    if invoice is None or processor is None or account is None or method not in ("card", "ach"):
        abort(400)
    if not (account.takes_cards if method == "card" else account.takes_ach):
        abort(400)
    back = url_for("client_pages.show", token=token)
    with speaking(_language(link)):
        reader = reader_of(language())
        wish = Wish(
            invoice_id=invoice.id,
            account_id=account.account_id,
            method=PaymentMethod(method),
            title=paper_of(session(), invoice, reader).title,
            email=_first_address(invoice.lead.email),
            language=language(),
            return_url=address_of(link),
        )
        step_out()
        try:
            page = paying.open_page(dunahub().sessions, processor, wish)
        except AccessEnded:
            recording.end_account(session(), wish.account_id)
            session().commit()
            flash(_("Paying online is not possible right now. Please contact us."), "bad")
        except Refused as problem:
            log.error("checkout refused", invoice=wish.invoice_id, problem=str(problem))
            flash(_("Paying online is not possible right now. Please contact us."), "bad")
        except Unreachable as problem:
            log.error("checkout not opened", invoice=wish.invoice_id, problem=str(problem))
            flash(_("The payment page can't be reached. Please try again in a minute."), "bad")
        else:
            if page:
                return redirect(page, 303)
            flash(_("There is nothing to pay on this invoice right now."))
    return redirect(back, 303)


def _first_address(text: str) -> str:
    """The first address of a lead's e-mail field, which may hold
    several. Stripe refuses invalid ones."""
    first = next(iter(addresses_in(text)), "")
    name, at, host = first.rpartition("@")
    return first if name and at and "." in host else ""


# --- Answering a proposal -------------------------------------------------------------------------


@client_pages.post("/<token>/answer")
@public
@limiter.limit(ACT_LIMIT)
def answer(token: str) -> ResponseReturnValue:
    """A client answers once; after that only the firm can change it."""
    link = _open_link(token)
    answers = {"accept": ProposalStatus.ACCEPTED, "decline": ProposalStatus.DECLINED}
    said = answers.get(request.form.get("answer", ""))
    if link.proposal_id is None or said is None:
        abort(400)
    proposal = (
        session()
        .scalars(select(Proposal).where(Proposal.id == link.proposal_id).with_for_update())
        .one()
    )
    with speaking(_language(link)):
        if proposal.status not in (ProposalStatus.DRAFT, ProposalStatus.SENT):
            flash(_("This proposal was already answered."), "warn")
        elif request.form.get("seen") != _content_of(proposal):
            flash(
                _(
                    "The proposal was changed after you opened it, so your answer wasn't saved."
                    " Please read it again."
                ),
                "warn",
            )
        else:
            proposal.status = said
            session().add(
                AuditEvent(
                    organization_id=link.organization_id,
                    action=f"proposal.{said}",
                    details={"number": proposal.number},
                )
            )
            flash(_("Thank you. We have your answer."), "good")
        session().commit()
    return redirect(url_for("client_pages.show", token=token), 303)


def _content_of(proposal: Proposal) -> str:
    """A digest of what the client agrees to. Two different proposals never share one."""
    lines = [
        (line.description, f"{line.quantity:f}", f"{line.unit_price:f}", line.taxable)
        for line in proposal.lines
    ]
    discount = (proposal.discount_kind.value, f"{proposal.discount_value:f}")
    told = repr((proposal.title, f"{proposal.tax_rate:f}", discount, lines))
    return hashlib.sha256(told.encode()).hexdigest()


# --- Behind the token -----------------------------------------------------------------------------


def _link(token: str) -> ClientLink:
    if not _TOKEN.fullmatch(token):
        abort(404)
    link = session().scalar(select(ClientLink).where(ClientLink.token == token))
    if link is None:
        abort(404)
    return link


def _open_link(token: str) -> ClientLink:
    link = _link(token)
    if link.revoked_at:
        abort(404)
    return link


def _language(link: ClientLink) -> str:
    """The language that the client chose on the page, or the firm
    chose, or the browser asks for."""
    wanted = request.values.get("language", "")
    return wanted if wanted in LANGUAGES else link.language or language() or ENGLISH


def _account(link: ClientLink) -> ProcessorAccount | None:
    processor = dunahub().processor
    organization = session().get_one(Organization, link.organization_id)
    if processor is None or not organization.has_quickbooks:  # we only use Stripe's US accounts
        return None
    return paying.account_of(session(), organization.id, is_live=processor.is_live)


def _note_opened(link: ClientLink) -> None:
    """Records when the client first followed the link of a letter."""
    letter = request.args.get("letter", "")
    if not (letter.isascii() and letter.isdigit() and len(letter) < 19):
        return
    with written_apart():
        session().execute(
            update(ClientLetter)
            .where(
                ClientLetter.id == int(letter),
                ClientLetter.link_id == link.id,
                ClientLetter.opened_at.is_(None),
            )
            .values(opened_at=func.clock_timestamp())
        )
