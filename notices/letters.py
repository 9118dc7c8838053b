"""What the letters say: what happened, what it means, what to do. In the words of the screens."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from config import Config
from languages import ENGLISH, N_, Reader, reader_of
from models.accounts import Organization, Role, User
from models.base import Json
from models.notices import Condition, Notice
from notices.conditions import FOR_OPERATORS
from notices.mail import Letter
from notices.quoting import plain_name
from quickbooks.faults import explain

REASONS = {
    "plan_lapsed": N_("The company's QuickBooks plan has lapsed."),
    "access_lost": N_("The QuickBooks user who connected it may have lost access."),
    "keys_lost": N_("We can no longer use the access that you gave us; that is our fault."),
}
REMOVED = N_("Access was removed in QuickBooks or has run out.")


def letter_of(session: Session, config: Config, notice: Notice) -> Letter | None:
    """The letter, or None when there is nobody to write to (any more)."""
    kind = notice.kind
    if kind in FOR_OPERATORS:
        readers = dict.fromkeys(config.operators, ENGLISH)
    else:
        readers = _owners(session, notice.organization_id)
    if not readers:
        return None
    settings = f"{config.base_url.rstrip('/')}/settings/quickbooks"
    # One letter to all of them, so that it is sent once or not at all: in each of their languages.
    told = [
        _words(kind, notice.about, settings, reader_of(language))
        for language in dict.fromkeys(readers.values())
    ]
    body = "\n\n———\n\n".join(body for _subject, body in told)
    return Letter(list(readers), told[0][0], body + "\n\n— DunaHub\n", f"notice-{notice.id}")


def _owners(session: Session, organization_id: int | None) -> dict[str, str]:
    """Addresses and languages of who owns a firm that sees QuickBooks.

    In region BR there is no such thing, in e-mails neither.
    """
    organization = session.get(Organization, organization_id) if organization_id else None
    if organization is None or not organization.has_quickbooks:
        return {}
    owners = select(User.email, User.language).where(
        User.organization_id == organization.id,
        User.role == Role.OWNER,
        User.removed_at.is_(None),
    )
    return dict(session.execute(owners.order_by(User.id)).all())


def _words(kind: Condition, about: Json, settings: str, reader: Reader) -> tuple[str, str]:
    """Subject and text. What operators read stays English, like the runbook they turn to."""
    names = {
        "company": plain_name(about.get("company") or "") or reader.say(N_("your company")),
        "settings": settings,
    }

    def say(*sentences: str, **values: str) -> str:
        return "\n\n".join(reader.say(one).format(**names, **values) for one in sentences)

    match kind:
        case Condition.STOPPED if about.get("reason") == "plan_lapsed":
            return (
                say(N_("QuickBooks is on hold: {company}")),
                say(
                    REASONS["plan_lapsed"],
                    N_(
                        "What you save in DunaHub is kept and will be sent once {company} has a"
                        " plan again. Nothing is lost. We try again every few hours."
                    ),
                    HOW_IT_STANDS,
                ),
            )
        case Condition.STOPPED:
            reason = reader.say(REASONS.get(about.get("reason", ""), REMOVED))
            return (
                say(N_("Reconnect QuickBooks: {company}")),
                say(
                    N_("QuickBooks stopped accepting our access to {company}. {reason}"),
                    N_(
                        "What you save in DunaHub is kept, and will be sent after you reconnect."
                        " Nothing is lost."
                    ),
                    RECONNECT,
                    reason=reason,
                ),
            )
        case Condition.DOWN:
            return (
                say(N_("QuickBooks has not answered for a day: {company}")),
                say(
                    N_(
                        "QuickBooks has not answered us for a day. What you save in DunaHub waits,"
                        " and will be sent to {company} by itself. You don't have to do anything."
                    ),
                    HOW_IT_STANDS,
                ),
            )
        case Condition.ENDING:
            days = str(about["days"])
            return (
                say(
                    N_("Your QuickBooks sign-in ends tomorrow: {company}")
                    if days == "1"
                    else N_("Your QuickBooks sign-in ends within {days} days: {company}"),
                    days=days,
                ),
                say(
                    N_(
                        "Intuit ends every sign-in after some years. Yours to {company} ends on"
                        " {day}. Reconnect before that day and nothing stops."
                    ),
                    RECONNECT,
                    day=reader.day(about["ends_on"]),
                ),
            )
        case Condition.ATTENTION:
            return _attention(about["causes"], reader, say(N_("See them: {settings}")))
        case Condition.DOWN_LONG:
            return (
                "QuickBooks has been down for three days",
                f"{about['companies']} connected companies get no answer from QuickBooks. Entries"
                " wait and keep their attempts. See docs/runbook.md, “QuickBooks is down”.",
            )
        case Condition.APP_REFUSED:
            return (
                "Intuit refuses our app",
                "Intuit does not accept QUICKBOOKS_CLIENT_ID and QUICKBOOKS_CLIENT_SECRET. No"
                " sign-in can be renewed until they are right; customers can do nothing about it."
                " See docs/runbook.md, “Intuit refuses our app”.",
            )
        case Condition.REFUSED_ALIKE:
            return (
                "Many companies refuse us at once",
                f"{about['companies']} sign-ins were refused within ten minutes, for one reason."
                " That is rather our own configuration than theirs. See docs/runbook.md,"
                " “Token expired for many firms”.",
            )
        case Condition.KEYS_LOST:
            return (
                "Stored tokens open with none of TOKEN_KEYS",
                f"The tokens of {about['companies']} companies cannot be read. A key is missing"
                " from TOKEN_KEYS: put it back. If it is lost for good, see docs/runbook.md,"
                " “A token key is lost”.",
            )
        case Condition.CUSTOMERS_UNREAD:
            return (
                "The customers of a company cannot be read",
                f"For more than a day nobody could read which customers {about['company']} has"
                f" (connection {about['connection']}), and new leads of that firm wait for it. We"
                " go on trying, once an hour."
                " See docs/runbook.md, “A company's customers cannot be read”.",
            )
        case Condition.READS_USED_UP:
            return (
                "QuickBooks refuses our questions",
                f"For more than an hour QuickBooks has answered every question about"
                f" {about['companies']} companies with HTTP 429. Records that need no"
                " question are sent as usual; those that do wait and lose nothing."
                " See docs/runbook.md, “QuickBooks refuses our questions”.",
            )


HOW_IT_STANDS = N_("How it stands: {settings}")
RECONNECT = N_("Reconnect: {settings}")


def _attention(causes: dict[str, int], reader: Reader, see_them: str) -> tuple[str, str]:
    total = sum(causes.values())
    lines = [
        f"  {explain(code, {}, reader=reader).title}: {count}"
        for code, count in sorted(causes.items(), key=lambda cause: -cause[1])
    ]
    subject = reader.ngettext(
        "{count} record needs your attention before QuickBooks takes it",
        "{count} records need your attention before QuickBooks takes them",
        total,
    )
    opening = reader.ngettext(
        "{count} record needs a decision of yours:",
        "{count} records need a decision of yours:",
        total,
    )
    rest = reader.say(
        N_(
            "Everything else is sent as usual. Each record's page says what is wrong and has the"
            " button."
        )
    )
    parts = [opening.format(count=total), "\n".join(lines), rest, see_them]
    return subject.format(count=total), "\n\n".join(parts)
