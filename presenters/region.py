"""What changes for an organization that moves to another region, before staff confirm it."""

from dataclasses import dataclass

from sqlalchemy import func, select

from models.accounts import Organization, Region
from models.outbox import Entry, State
from web.access import session
from web.languages import _, ngettext


@dataclass(frozen=True)
class Stake:
    """One consequence of the move."""

    sentence: str
    icon: str = "check"
    tone: str = "good"


def stakes_of(organization: Organization, region: str) -> list[Stake]:
    """What the move to this region affects: the connected company, and what waits for it."""
    query = select(func.count()).where(
        Entry.organization_id == organization.id, Entry.state == State.PENDING
    )
    waiting = session().scalar(query) or 0
    if region != Region.BR:
        return [
            Stake(
                _("QuickBooks is offered to them again, not connected: an owner has to connect it.")
            ),
            Stake(_waiting_from_before(waiting), "pause", "warn"),
        ]
    return [
        Stake(_ends_connection(organization), "alert", "warn"),
        Stake(_("Everything about QuickBooks disappears from their pages."), "alert", "warn"),
        Stake(_held(waiting), "pause", "warn"),
        Stake(_("Nothing already in QuickBooks is changed, and nothing saved here is lost.")),
    ]


def _ends_connection(organization: Organization) -> str:
    if organization.connection is None:
        return _("QuickBooks is not connected, so there's no access to end.")
    return _(
        "QuickBooks is disconnected from %(company)s at once, and our access is ended at Intuit.",
        company=organization.connection.company_name,
    )


def _held(waiting: int) -> str:
    if not waiting:
        return _("No record is waiting.")
    return ngettext(
        "%(num)s waiting record is held and not sent.",
        "%(num)s waiting records are held and not sent.",
        waiting,
    )


def _waiting_from_before(waiting: int) -> str:
    if not waiting:
        return _("No record is waiting from before.")
    return ngettext(
        "%(num)s record is still waiting from before; once QuickBooks is reconnected, an owner"
        " decides what happens to it.",
        "%(num)s records are still waiting from before; once QuickBooks is reconnected, an owner"
        " decides what happens to them.",
        waiting,
    )
