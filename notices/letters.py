"""What the letters say: what happened, what it means, what to do. In the words of the screens."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from config import Config
from models.accounts import Organization, Role, User
from models.base import Json
from models.notices import Notice
from notices.conditions import FOR_OPERATORS, Kind
from notices.mail import Letter
from quickbooks.faults import explain

REASONS = {
    "plan_lapsed": "The company's QuickBooks plan has lapsed.",
    "access_lost": "The QuickBooks user who connected it may have lost access.",
    "keys_lost": "We can no longer use the access that you gave us; that is our fault.",
}
REMOVED = "Access was removed in QuickBooks or has run out."


def letter_of(session: Session, config: Config, notice: Notice) -> Letter | None:
    """The letter, or None when there is nobody to write to (any more)."""
    kind = Kind(notice.kind)
    if kind in FOR_OPERATORS:
        to = list(config.operators)
    else:
        to = _owners(session, notice.organization_id)
    if not to:
        return None
    subject, body = _words(kind, notice.about, config.base_url.rstrip("/"))
    return Letter(to, subject, body + "\n\n— DunaHub\n", f"notice-{notice.id}")


def _owners(session: Session, organization_id: int | None) -> list[str]:
    """Of a firm that sees QuickBooks: in region BR there is no such thing, in e-mails neither."""
    organization = session.get(Organization, organization_id) if organization_id else None
    if organization is None or not organization.has_quickbooks:
        return []
    owners = select(User.email).where(
        User.organization_id == organization.id, User.role == Role.OWNER
    )
    return list(session.scalars(owners.order_by(User.id)))


def _words(kind: Kind, about: Json, base_url: str) -> tuple[str, str]:
    settings = f"{base_url}/settings/quickbooks"
    company = about.get("company", "your company")
    match kind:
        case Kind.STOPPED if about.get("reason") == "plan_lapsed":
            return (
                f"QuickBooks is on hold: {company}",
                f"{REASONS['plan_lapsed']}\n\nWhat you save in DunaHub is kept and will be sent"
                f" once {company} has a plan again. Nothing is lost. We try again every few"
                f" hours.\n\nHow it stands: {settings}",
            )
        case Kind.STOPPED:
            return (
                f"Reconnect QuickBooks: {company}",
                f"QuickBooks stopped accepting our access to {company}."
                f" {REASONS.get(about.get('reason', ''), REMOVED)}\n\nWhat you save in DunaHub is"
                f" kept, and will be sent after you reconnect. Nothing is lost.\n\nReconnect:"
                f" {settings}",
            )
        case Kind.DOWN:
            return (
                f"QuickBooks has not answered for a day: {company}",
                "QuickBooks has not answered us for a day. What you save in DunaHub waits, and will"
                f" be sent to {company} by itself. You don't have to do anything.\n\nHow it stands:"
                f" {settings}",
            )
        case Kind.ENDING:
            days = about["days"]
            when = "tomorrow" if days == 1 else f"within {days} days"
            return (
                f"Your QuickBooks sign-in ends {when}: {company}",
                f"Intuit ends every sign-in after some years. Yours to {company} ends on"
                f" {about['ends_on']}. Reconnect before that day and nothing stops.\n\nReconnect:"
                f" {settings}",
            )
        case Kind.ATTENTION:
            return _attention(about["causes"], settings)
        case Kind.DOWN_LONG:
            return (
                "QuickBooks has been down for three days",
                f"{about['companies']} connected companies get no answer from QuickBooks. Entries"
                " wait and keep their attempts. See docs/runbook.md, “QuickBooks is down”.",
            )
        case Kind.APP_REFUSED:
            return (
                "Intuit refuses our app",
                "Intuit does not accept QUICKBOOKS_CLIENT_ID and QUICKBOOKS_CLIENT_SECRET. No"
                " sign-in can be renewed until they are right; customers can do nothing about it."
                " See docs/runbook.md, “Intuit refuses our app”.",
            )
        case Kind.REFUSED_ALIKE:
            return (
                "Many companies refuse us at once",
                f"{about['companies']} sign-ins were refused within ten minutes, for one reason."
                " That is rather our own configuration than theirs. See docs/runbook.md,"
                " “Token expired for many firms”.",
            )
        case Kind.KEYS_LOST:
            return (
                "Stored tokens open with none of TOKEN_KEYS",
                f"The tokens of {about['companies']} companies cannot be read. A key is missing"
                " from TOKEN_KEYS: put it back. If it is lost for good, see docs/runbook.md,"
                " “A token key is lost”.",
            )


def _attention(causes: dict[str, int], settings: str) -> tuple[str, str]:
    total = sum(causes.values())
    records = "1 record needs" if total == 1 else f"{total} records need"
    lines = [
        f"  {explain(code, {}).title}: {count}"
        for code, count in sorted(causes.items(), key=lambda cause: -cause[1])
    ]
    return (
        f"{records} your attention before QuickBooks takes them",
        f"{records} a decision of yours:\n\n" + "\n".join(lines) + "\n\nEverything else is sent"
        " as usual. Each record's page says what is wrong and has the button.\n\n"
        f"See them: {settings}",
    )
