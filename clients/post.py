"""Sends letters to clients. Failed attempts are repeated later."""

from datetime import timedelta

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from clients import pdf
from clients.letters import with_link
from clients.paper import firm_of
from config import Config
from db import Sessions, one_snapshot
from models.accounts import Organization
from models.clients import ClientLetter, ClientLink, LetterKind, Outdated
from models.sales import Invoice
from notices import mail
from outbox.scheduler import for_a_while

FIRST_RETRY_DELAY = timedelta(minutes=1)  # after the mail server failed; doubles with each attempt
MAX_RETRY_DELAY = timedelta(hours=1)
MAX_ATTEMPTS = 20  # attempts: most of a day

log = structlog.get_logger()


def send_due(sessions: Sessions, config: Config) -> int:
    """Sends the letters that are due. Returns how many the mail server accepted."""
    if not mail.is_possible(config):
        return 0
    with sessions() as session:
        due = session.scalars(
            select(ClientLetter.id)
            .where(
                ClientLetter.sent_at.is_(None),
                ClientLetter.failed_at.is_(None),
                ClientLetter.available_at <= func.clock_timestamp(),
            )
            .order_by(ClientLetter.id)
            .limit(50)
        ).all()
    return for_a_while(due, lambda letter_id: _send(sessions, config, letter_id))


def _send(sessions: Sessions, config: Config, letter_id: int) -> bool:
    if not _claim(sessions, letter_id):
        return False
    try:
        with one_snapshot(sessions) as session:  # the sums on the paper are those of its lines
            message = _letter(session, config, session.get_one(ClientLetter, letter_id))
        mail.send(config, message)  # no transaction is open here
    except mail.NotMailed as problem:
        log.error("letter not mailed yet", letter=letter_id, problem=str(problem))
        return False
    with sessions.begin() as session:
        session.execute(
            update(ClientLetter)
            .where(ClientLetter.id == letter_id)
            .values(sent_at=func.clock_timestamp())
        )
    log.info("letter sent", letter=letter_id)
    return True


def _claim(sessions: Sessions, letter_id: int) -> bool:
    """Claims the letter by moving its next attempt into the future,
    so that one process sends it."""
    with sessions.begin() as session:
        letter = session.scalar(
            update(ClientLetter)
            .where(
                ClientLetter.id == letter_id,
                ClientLetter.sent_at.is_(None),
                ClientLetter.failed_at.is_(None),
                ClientLetter.available_at <= func.clock_timestamp(),
            )
            .values(
                attempts=ClientLetter.attempts + 1,
                available_at=func.clock_timestamp()
                + func.least(
                    FIRST_RETRY_DELAY * func.power(2, func.least(ClientLetter.attempts, 10)),
                    MAX_RETRY_DELAY,
                ),
            )
            .returning(ClientLetter)
        )
        if letter is None:
            return False
        letter.outdated = _outdated(letter)
        is_over = letter.link.revoked_at is not None or letter.attempts > MAX_ATTEMPTS
        if is_over or letter.outdated:
            letter.failed_at = func.clock_timestamp()
            return False
        return True


def _outdated(letter: ClientLetter) -> Outdated | None:
    """Whether its invoice was voided or paid since it was written: it may have waited for a day.
    Someone may send a paid invoice on purpose, but nobody reminds of one."""
    invoice = letter.link.invoice
    if invoice is None:
        return None
    if invoice.voided_at is not None:
        return Outdated.VOIDED
    is_reminder = letter.kind == LetterKind.REMINDER
    if invoice.balance > 0 or not (is_reminder or _is_paid_since(letter, invoice)):
        return None
    return Outdated.PAID


def _is_paid_since(letter: ClientLetter, invoice: Invoice) -> bool:
    return any(payment.created_at > letter.created_at for payment in invoice.payments)


def _letter(session: Session, config: Config, letter: ClientLetter) -> mail.Letter:
    link: ClientLink = letter.link
    document = link.invoice or link.proposal
    assert document
    address = f"{config.base_url.rstrip('/')}/i/{link.token}"
    organization = session.get_one(Organization, letter.organization_id)
    firm = firm_of(session, organization)
    return mail.Letter(
        to=[letter.to_address],
        subject=letter.subject,
        body=with_link(letter.body, f"{address}?letter={letter.id}"),
        name=f"client-{letter.id}-{link.token[:8]}",
        sender=organization.name,
        reply_to=firm.email,
        copy_to=letter.copy_to or "",
        attached=[pdf.file_of(session, document, letter.language, address)],
    )
