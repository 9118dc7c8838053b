"""Letters about conditions that last. Their words are in `templates/letters/<condition>.txt`."""

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
from notices.wording import letter_words
from quickbooks.faults import explain

REASONS = {
    "access_lost": N_("The QuickBooks user who connected it may have lost access."),
    "keys_lost": N_("We can no longer use the access that you gave us; that is our fault."),
}
REMOVED = N_("Access was removed in QuickBooks or has run out.")


def letter_of(session: Session, config: Config, notice: Notice) -> Letter | None:
    """The letter, or None if it has no recipient (any more)."""
    kind = notice.kind
    if kind in FOR_OPERATORS:
        readers = dict.fromkeys(config.operators, ENGLISH)
    else:
        readers = _owners(session, notice.organization_id)
    if not readers:
        return None
    settings = f"{config.base_url.rstrip('/')}/settings/quickbooks"
    # One letter to all readers, so that it is sent once or not at all, in each of their languages.
    texts = [
        _words(kind, notice.about, settings, reader_of(language))
        for language in dict.fromkeys(readers.values())
    ]
    body = "\n\n———\n\n".join(body for _subject, body in texts)
    return Letter(list(readers), texts[0][0], body + "\n\n— DunaHub\n", f"notice-{notice.id}")


def _owners(session: Session, organization_id: int | None) -> dict[str, str]:
    """Addresses and languages of the firm's owners; none in region BR, which has no QuickBooks."""
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
    """Subject and text. Letters to operators are in English, like the runbook they refer to."""
    company = plain_name(about.get("company") or "") or reader.say(N_("your company"))
    values = about | {"company": company, "settings": settings}
    match kind:
        case Condition.STOPPED if about.get("reason") == "plan_lapsed":
            return letter_words("plan_lapsed", reader, **values)
        case Condition.STOPPED:
            values["reason"] = reader.say(REASONS.get(about.get("reason", ""), REMOVED))
        case Condition.ENDING:
            values["day"] = reader.day(about["ends_on"])
        case Condition.ATTENTION:
            counts = sorted(about["causes"].items(), key=lambda cause: -cause[1])
            values["total"] = sum(about["causes"].values())
            values["causes"] = [(explain(code, {}, reader=reader).title, n) for code, n in counts]
        case _:
            pass
    return letter_words(kind, reader, **values)
