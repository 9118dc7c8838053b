"""The sentences of Settings → QuickBooks about the connection, as values for its template."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup, escape

from languages import N_
from models.quickbooks import ConnectionStatus
from presenters.standing import Delay
from quickbooks.checking import Checked
from quickbooks.standing import Standing
from web.access import firm
from web.formats import ago, dated, moment, spoken_day, spoken_month
from web.languages import _, ngettext

WHY_EXPIRED = {
    "access_lost": N_("The QuickBooks user who connected it may have lost access."),
    "company_reset": N_("This company was emptied in QuickBooks and set up again."),
}

NOT_CHECKED = {
    Checked.REFUSED: N_(
        "QuickBooks is answering, but it just refused our access. Check again in a few minutes."
    ),
    Checked.ACCESS_LOST: N_(
        "QuickBooks is answering, but the user who connected it is no longer an admin of this"
        " company. Make them an admin again there, or disconnect and have an admin connect it."
    ),
    Checked.PLAN_LAPSED: N_(
        "QuickBooks is answering, but its subscription has ended or has a billing problem. Once"
        " that's fixed, sending resumes automatically."
    ),
    Checked.COMPANY_RESET: N_(
        "This QuickBooks company was emptied and set up again. Ask DunaHub's support what to do."
    ),
    Checked.BUSY: N_("QuickBooks is busy. Nothing is lost, and we'll keep trying."),
    Checked.UNCLEAR: N_(
        "QuickBooks is answering, but in a way we don't understand. Nothing is lost, and we'll"
        " keep trying."
    ),
    Checked.UNREACHABLE: N_("QuickBooks isn't answering. Nothing is lost, and we'll keep trying."),
}

ACCESS_ENDED = N_("Access was removed in QuickBooks or has run out.")


@dataclass(frozen=True)
class Notice:
    """Something about the connection that needs a person, above everything else."""

    icon: str
    label: str  # for screen readers
    title: str | Markup
    sentence: str
    why: str = ""
    is_lapsed: bool = False  # paid for in QuickBooks; otherwise reconnecting helps


def notices_of(now: Standing, on_hold: int) -> Iterator[Notice]:
    """At most two: what holds records now, and a sign-in that ends soon."""
    if now.status is ConnectionStatus.EXPIRED:
        yield _expired(now, on_hold)
    elif now.held_for:
        yield Notice(
            "pause",
            _("QuickBooks needs you"),
            _("The QuickBooks subscription has ended or has a billing problem."),
            ngettext(
                "%(num)s record is on hold. Nothing is lost, and sending resumes automatically"
                " once this is fixed.",
                "%(num)s records are on hold. Nothing is lost, and sending resumes automatically"
                " once this is fixed.",
                on_hold,
            ),
            is_lapsed=True,
        )
    if now.days_left is not None and now.status is ConnectionStatus.CONNECTED:
        yield _ends_soon(now, now.days_left)


def _expired(now: Standing, on_hold: int) -> Notice:
    connection = now.connection
    since = connection.status_since if connection else None
    why = ""
    if (connection and connection.status_reason) or now.held_for:
        why = WHY_EXPIRED.get(
            now.held_for or "", N_("Access was removed in QuickBooks or has run out.")
        )
    return Notice(
        "key",
        _("QuickBooks needs you"),
        _with_time(_("QuickBooks stopped accepting our access on %(time)s.", time="%s"), since),
        ngettext(
            "%(num)s record is on hold and will be sent after you reconnect. Nothing is lost.",
            "%(num)s records are on hold and will be sent after you reconnect. Nothing is lost.",
            on_hold,
        ),
        _(why) if why else "",
    )


def _ends_soon(now: Standing, days: int) -> Notice:
    ends = spoken_day(now.signed_in_until, firm().zone) if now.signed_in_until else ""
    if days == 0:
        title = _("The sign-in to QuickBooks ends today, on %(day)s.", day=ends)
    elif days == 1:
        title = _("The sign-in to QuickBooks ends tomorrow, on %(day)s.", day=ends)
    else:
        title = _(
            "The sign-in to QuickBooks ends in %(days)s days, on %(day)s.", days=days, day=ends
        )
    reason = _(
        "Intuit ends every sign-in after five years at most. Reconnect before then, and nothing has"
        " to wait."
    )
    return Notice("key", _("The sign-in ends"), title, reason)


def _with_time(sentence: str, at: datetime | None) -> Markup:
    return escape(sentence) % dated(at)


# --- The status card ------------------------------------------------------------------------------


def facts_of(now: Standing, waiting_there: int) -> list[str | Markup]:
    """Its second line."""
    if now.status is ConnectionStatus.DISCONNECTED:
        return list(_facts_of_disconnected(now, waiting_there))
    return list(_facts_of_live(now))


def _facts_of_disconnected(now: Standing, waiting_there: int) -> Iterator[str | Markup]:
    connection = now.connection
    if connection is None:
        yield _("Nothing is sent to QuickBooks.")
        return
    sentence = _(
        "Disconnected from %(company)s on %(time)s", company="%(company)s", time="%(time)s"
    )
    since = dated(connection.status_since)
    yield escape(sentence) % {"company": connection.company_name, "time": since}
    if now.revoke_pending:
        yield _("Intuit hasn't confirmed it yet; we'll keep trying")
    if waiting_there:
        yield ngettext(
            "%(num)s record on hold since then", "%(num)s records on hold since then", waiting_there
        )


def _facts_of_live(now: Standing) -> Iterator[str | Markup]:
    connection = now.connection
    if connection is None:
        return
    if last := connection.lane.last_synced_at:
        sent = _("Last record sent %(ago)s (%(time)s)", ago="%(ago)s", time="%(time)s")
        yield escape(sent) % {"ago": ago(last), "time": moment(last)}
    else:
        yield _("Nothing has been sent yet")
    since = spoken_day(connection.connected_at, firm().zone)
    if by := connection.connected_by:
        yield _("Connected by %(name)s on %(day)s", name=by.name, day=since)
    else:
        yield _("Connected on %(day)s", day=since)
    if now.signed_in_until and now.status is ConnectionStatus.CONNECTED:
        month = spoken_month(now.signed_in_until, firm().zone)
        yield _("Sign-in good until %(month)s", month=month)


def delay_sentences(delay: Delay | None) -> list[str | Markup]:
    """Why records wait, how many, and when the next try is."""
    if delay is None:
        return []
    if delay.is_busy:
        why: str | Markup = _("QuickBooks is busy.")
    elif delay.answers_again:
        why = _("QuickBooks is answering again.")
    elif delay.since:
        why = escape(_("QuickBooks hasn't answered since %(time)s.", time="%s")) % moment(
            delay.since
        )
    else:
        why = _("QuickBooks isn't answering.")
    if delay.next_try:
        then: str | Markup = escape(_("Next try %(time)s.", time="%s")) % moment(delay.next_try)
    else:
        then = _("Trying now.")
    waiting = ngettext(
        "%(num)s record is waiting, and nothing is lost.",
        "%(num)s records are waiting, and nothing is lost.",
        delay.waiting,
    )
    return [why, waiting, then]


# --- Before it is connected -----------------------------------------------------------------------


def what_connecting_does() -> list[str]:
    """What happens to records once QuickBooks is connected, and what never does."""
    return [
        _(
            "New and changed leads become customers. New invoices and payments follow, with the"
            " same lines and totals, a moment after you save them."
        ),
        _(
            "New and changed records go there once you start. Older ones go only when you send"
            " them, or when a new invoice needs its customer."
        ),
        _(
            "Nothing is ever deleted in QuickBooks, and nothing that is changed there comes back"
            " here."
        ),
        _(
            "Your QuickBooks password stays with Intuit. You can end our access at any time, here"
            " or there."
        ),
    ]
