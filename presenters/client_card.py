"""The client's side of a document, for the firm: link, payments in progress, problems."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from clients.links import link_of
from languages import N_
from models.clients import ClientLetter, ClientLink, Outdated
from models.processors import Charge, Checkout, CheckoutState, Refund, RefundKind
from models.sales import Invoice, Payment, Proposal
from processors import paying
from web.languages import _

LETTERS_SHOWN = 10  # letters
NOT_SENT = {
    Outdated.VOIDED: N_("not sent, because the invoice was voided first"),
    Outdated.PAID: N_("not sent, because the invoice was paid first"),
}


@dataclass(frozen=True)
class LetterRow:
    """A letter to the client, and what became of it."""

    icon: str
    title: str
    state: str
    at: datetime | None = None


@dataclass(frozen=True)
class ClientCard:
    address: str  # "": no open link
    token: str
    on_its_way: Decimal
    failed: Decimal  # the last attempt, if it was a bank transfer that failed
    overpaid: Decimal
    letters: tuple[LetterRow, ...] = ()  # newest first
    can_remind: bool = False
    is_void: bool = False  # nothing to send any more
    disputed: Decimal = Decimal(0)  # the client's bank has not decided yet
    taken_back: Decimal = Decimal(0)  # by the client's bank
    # Bank transfers at a Stripe account that we have no access to any more.
    out_of_sight: Decimal = Decimal(0)


def client_card(session: Session, document: Invoice | Proposal, base_url: str) -> ClientCard:
    link = link_of(session, document)
    token = link.token if link else ""
    address = f"{base_url.rstrip('/')}/i/{token}" if token else ""
    letters = tuple(_letter_row(letter) for letter in _letters_of(session, document))
    if isinstance(document, Proposal):
        return ClientCard(address, token, Decimal(0), Decimal(0), Decimal(0), letters)
    # Once it is void, what was given back out of goodwill keeps nothing paid any more.
    overpaid = document.kept if document.voided_at else document.paid_amount - document.total
    out_of_sight = _out_of_sight(session, document) if document.balance > 0 else Decimal(0)
    coming = paying.on_its_way(session, document.id)
    return ClientCard(
        address=address,
        token=token,
        on_its_way=Decimal(0) if out_of_sight else coming,
        out_of_sight=out_of_sight,
        failed=_failed(session, document),
        overpaid=max(overpaid, Decimal(0)),
        letters=letters,
        can_remind=bool(letters) and document.balance > 0,
        is_void=document.voided_at is not None,
        disputed=_disputed(session, document),
        taken_back=_taken_back(session, document),
    )


def _letter_row(letter: ClientLetter) -> LetterRow:
    if letter.kind == "reminder":
        title = _("Reminder to %(address)s", address=letter.to_address)
    else:
        title = _("E-mail to %(address)s", address=letter.to_address)
    if letter.opened_at:
        return LetterRow("check", title, _("opened"), letter.opened_at)
    if letter.sent_at:
        return LetterRow("send", title, _("sent"), letter.sent_at)
    if letter.outdated:
        return LetterRow("alert", title, _(NOT_SENT[letter.outdated]), letter.failed_at)
    if letter.failed_at:
        return LetterRow("alert", title, _("could not be sent"))
    return LetterRow("send", title, _("being sent"))


def _letters_of(session: Session, document: Invoice | Proposal) -> Sequence[ClientLetter]:
    """Letters sent to the client, including those with links revoked since."""
    same = (
        ClientLink.invoice_id == document.id
        if isinstance(document, Invoice)
        else ClientLink.proposal_id == document.id
    )
    return session.scalars(
        select(ClientLetter)
        .join(ClientLink, ClientLink.id == ClientLetter.link_id)
        .where(same)
        .order_by(ClientLetter.id.desc())
        .limit(LETTERS_SHOWN)
    ).all()


def _out_of_sight(session: Session, invoice: Invoice) -> Decimal:
    coming = select(func.coalesce(func.sum(Checkout.amount), 0)).where(
        Checkout.invoice_id == invoice.id,
        Checkout.state == CheckoutState.ON_ITS_WAY,
        ~paying.is_open(Checkout.account_id),
    )
    return session.scalar(coming) or Decimal(0)


def _disputed(session: Session, invoice: Invoice) -> Decimal:
    charges = session.scalars(select(Charge).join(Payment).where(Payment.invoice_id == invoice.id))
    return sum((one.payment.amount for one in charges if one.is_disputed), Decimal(0))


def _taken_back(session: Session, invoice: Invoice) -> Decimal:
    taken = select(func.coalesce(func.sum(Refund.booked), 0)).join(Payment)
    return session.scalar(
        taken.where(Payment.invoice_id == invoice.id, Refund.kind == RefundKind.DISPUTE)
    ) or Decimal(0)


def _failed(session: Session, invoice: Invoice) -> Decimal:
    last = session.scalar(
        select(Checkout)
        .where(
            Checkout.invoice_id == invoice.id,
            Checkout.state.not_in((CheckoutState.OPENING, CheckoutState.EXPIRED)),
        )
        .order_by(Checkout.id.desc())
        .limit(1)
    )
    return last.amount if last and last.state == CheckoutState.FAILED else Decimal(0)
