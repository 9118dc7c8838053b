"""Status words of records on their way to QuickBooks.

Record pages, lists, settings and the admin's outbox all use `say`, with the same facts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from languages import N_
from models.comparisons import Kind
from models.outbox import Counterpart, Dispatch, Entry, LaneState, Operation, State
from models.quickbooks import Connection
from models.sales import Payment, Record, RecordType
from presenters.apart import Apart
from presenters.record_types import SHOWN, Shown
from presenters.situations import Situation, current_entries, live_lane_id, situations_of
from quickbooks.kinds.payment import CREDIT_LEFT, CREDIT_THERE
from web.access import firm, session
from web.formats import current_zone, day, money, spoken_moment
from web.languages import _, pgettext

SIGNED_OUT = N_("Reconnect QuickBooks, and it will be sent.")
HOLDS = {
    "signed_out": SIGNED_OUT,
    "access_lost": N_("QuickBooks refuses our access. Reconnect, and it will be sent."),
    "company_reset": N_(
        "This company was set up again in QuickBooks. Reconnect, and it will be sent."
    ),
    "plan_lapsed": N_("The QuickBooks plan has lapsed. Once it is paid, it will be sent."),
}
PACE = "pace"  # a pause of seconds to stay under QuickBooks' limits; not a problem
PAUSES = {
    "throttled": N_("QuickBooks is busy."),
    "outage": N_("QuickBooks can't be reached right now."),
    "refused": N_("QuickBooks refused our access a moment ago. We are checking again."),
    "takeover": N_("We are waiting to see what already reached QuickBooks."),
}
CUSTOMERS_UNREAD = N_("We are loading your QuickBooks customers first, to avoid duplicates.")


@dataclass(frozen=True)
class Word:
    """The content of a pill: an icon and words, never colour alone."""

    icon: str
    text: str
    tone: str  # good | busy | warn | bad | quiet
    at: datetime | None = None
    detail: str | None = None
    about: Record | None = None  # what it waits for
    is_final: bool = True  # nothing will change without a person


def not_sent(detail: str) -> Word:
    return Word("dash", _("Not sent"), "quiet", detail=detail)


def say(it: Situation, now: datetime, zone: ZoneInfo) -> Word:
    """The status of this entry in words."""
    match it.entry.state:
        case State.PENDING | State.SUPERSEDED if it.entry.is_own_check and it.link:
            return _say_synced(it)
        case State.PENDING:
            return _say_pending(it, now, zone)
        case State.SYNCED:
            return _say_synced(it)
        case State.FAILED if it.entry.lane.state == LaneState.CLOSED:
            detail = _("Once it is connected again, this record needs attention.")
            words = f"{_belongs(it.connection)} {detail}"
            return Word("pause", _("On hold"), "warn", it.entry.settled_at, words)
        case State.FAILED:
            return Word("alert", _("Needs attention"), "bad", it.entry.settled_at)
        case State.SKIPPED:
            detail = _("Someone decided not to send it. That can be undone.")
            return Word("skip", _("Skipped"), "quiet", it.entry.settled_at, detail)
        case State.SUPERSEDED if it.has_newer:
            return Word("layers", _("Replaced by a newer version"), "quiet", it.entry.settled_at)
        case State.SUPERSEDED:
            return _nothing_to_send(it)


def _say_pending(it: Situation, now: datetime, zone: ZoneInfo) -> Word:
    since = it.entry.created_at
    if held := _why_on_hold(it):
        is_final = not it.entry.lane.opens_by_itself
        return Word("pause", _("On hold"), "warn", since, held, is_final=is_final)
    if about := it.entry.awaited:
        words = _("Waits for %(record)s", record=it.waits_for or _(SHOWN[about.type].noun))
        return Word("clock", words, "warn", since, about=about, is_final=False)
    if it.dispatch and _is_sending(it, it.dispatch, now):
        return Word("send", _("Sending"), "busy", it.dispatch.sent_at, is_final=False)
    again_at, trouble = _next_try(it, now)
    if again_at:
        words = _("Trying again at %(time)s", time=spoken_moment(again_at, zone, now))
        return Word("retry", words, "warn", again_at, trouble, is_final=False)
    return Word("clock", _("Waiting to send"), "busy", since, _why_not_yet(it), is_final=False)


def _why_on_hold(it: Situation) -> str | None:
    """None if the entry is to be sent."""
    lane = it.entry.lane
    if lane.state == LaneState.CLOSED:
        return _belongs(it.connection)
    if lane.state == LaneState.HELD:
        return _("Nothing is lost.") + " " + _(HOLDS.get(lane.hold_reason or "", SIGNED_OUT))
    if it.entry.withheld:
        return _(
            "It was saved while QuickBooks was disconnected, or was waiting then. An owner decides"
            " in Settings whether to send it."
        )
    return None


def _is_sending(it: Situation, dispatch: Dispatch, now: datetime) -> bool:
    lease_until = it.entry.lane.lease_until
    is_leased = lease_until is not None and lease_until > now
    return is_leased and (dispatch.sent_at is None or dispatch.sent_at > now - it.call_takes)


def _why_not_yet(it: Situation) -> str | None:
    """Until the company's customers are read, we can't tell who is new there."""
    is_new = it.entry.record_type == RecordType.LEAD and it.link is None
    is_unread = it.connection is not None and it.connection.customers_read_at is None
    return _(CUSTOMERS_UNREAD) if is_new and is_unread else None


def _belongs(connection: Connection | None) -> str:
    if connection is None:
        return _("Nothing is lost.")
    return _(
        "Belongs to %(company)s, which is not connected. Nothing is lost.",
        company=connection.company_name,
    )


def _next_try(it: Situation, now: datetime) -> tuple[datetime | None, str | None]:
    lane, entry = it.entry.lane, it.entry
    if lane.pause_until and lane.pause_until > now and lane.pause_reason != PACE:
        return lane.pause_until, _(PAUSES.get(lane.pause_reason or "", PAUSES["outage"]))
    if entry.available_at > now and entry.attempts:
        return entry.available_at, _("QuickBooks couldn't accept it a moment ago.")
    if it.dispatch and it.dispatch.sent_at and entry.available_at > now:
        return entry.available_at, _("QuickBooks has not answered yet.")
    return None, None


def _say_synced(it: Situation) -> Word:
    entry, link = it.entry, it.link
    if link is None:
        return _nothing_to_send(it)
    if entry.operation == Operation.VOID:
        return _say_voided(entry)
    if is_taken_back(entry) and link.voided_at:
        return Word("void", pgettext("payment", "Voided in QuickBooks"), "quiet", entry.settled_at)
    found = None if it.has_newer else _say_otherwise_there(it, link)
    return found or Word(
        "check", _("In QuickBooks"), "good", entry.settled_at, _how_of(entry, link)
    )


def _how_of(entry: Entry, link: Counterpart) -> str | None:
    is_left = entry.is_own_check and entry.state == State.SYNCED and entry.fault_code
    return _(CREDIT_LEFT) if is_left and _has_credit(link) else how_of(link)


def _has_credit(link: Counterpart) -> bool:
    return link.voided_at is None and Decimal(link.remote_balance or 0) > 0


def how_of(link: Counterpart) -> str | None:
    """How it came to be as it is in QuickBooks, if not by a plain write."""
    if link.note is None or (link.note in (CREDIT_THERE, CREDIT_LEFT) and not _has_credit(link)):
        return None
    return _(link.note)


def _say_voided(entry: Entry) -> Word:
    if entry.record_type == RecordType.LEAD:
        detail = _("Deleted here; QuickBooks keeps it.")
        return Word("check", _("In QuickBooks"), "good", entry.settled_at, detail)
    return Word("void", _("Voided in QuickBooks"), "quiet", entry.settled_at)


def _say_otherwise_there(it: Situation, link: Counterpart) -> Word | None:
    """How QuickBooks has it otherwise than it was sent; None if it has it so."""
    if changed := _say_changed_here(it, link):
        return changed
    if link.gone_at:
        detail = _("Someone deleted it there. If that was a mistake, send it again.")
        return Word("alert", _("Deleted in QuickBooks"), "bad", link.gone_at, detail)
    if link.voided_at:
        if it.entry.record_type == RecordType.REFUND:
            detail = _(
                "It's voided in QuickBooks but not here. If that was a mistake, send it again."
            )
        elif it.entry.record_type == RecordType.PAYMENT:
            detail = _(
                "It's voided in QuickBooks but not here. Record the refund or return here, or send"
                " it again."
            )
        else:
            detail = _(
                "It's voided in QuickBooks but not here. Void it here too, or send it again."
            )
        return Word("void", _("Voided in QuickBooks"), "bad", link.voided_at, detail)
    if differs := _say_total(it, link):
        return differs
    return _say_apart(it.apart) if it.apart else None


def _say_changed_here(it: Situation, link: Counterpart) -> Word | None:
    """How it was ended here while its company is not connected, so that no entry says it."""
    here, at = it.here, it.entry.settled_at
    if here is None:
        return None
    is_ended_there = bool(link.voided_at or link.gone_at)
    paid_back = here.paid_back - Decimal(it.entry.payload.get("refunded_amount") or 0)
    if is_ended_there and (here.is_void or here.paid_back == here.total):
        return Word("void", _("Voided in QuickBooks"), "quiet", at)
    if here.is_void:
        detail = _(
            "It was voided here while QuickBooks was not connected. After you reconnect, an owner"
            " decides whether to send that."
        )
        return Word("differs", _("In QuickBooks, voided here"), "warn", at, detail)
    if paid_back > 0 and not is_ended_there:
        detail = _(
            "%(amount)s was refunded or returned here while QuickBooks was not connected. After"
            " you reconnect, an owner decides whether to send that.",
            amount=money(paid_back),
        )
        return Word("differs", _("In QuickBooks, refunded here"), "warn", at, detail)
    return None


def _say_total(it: Situation, link: Counterpart) -> Word | None:
    ours = str(it.here.total) if it.here else our_total(it.entry)
    if ours is None or link.remote_total is None:
        return None
    paid_back = Decimal(it.entry.payload.get("refunded_amount") or 0)
    # A person may have taken what was paid back off the payment there.
    if Decimal(link.remote_total) in (Decimal(ours), Decimal(ours) - paid_back):
        return None
    difference = abs(Decimal(link.remote_total) - Decimal(ours))
    words = _("In QuickBooks, total differs by %(amount)s", amount=money(difference))
    detail = _(
        "%(ours)s here, %(theirs)s in QuickBooks.",
        ours=money(ours),
        theirs=money(link.remote_total),
    )
    return Word("differs", words, "warn", it.entry.settled_at, detail)


def _say_apart(apart: Apart) -> Word | None:
    """What a comparison found, in the order of its list: the first as the word, all as details."""
    said = [(words, detail) for kind in apart.kinds for words, detail in _of_kind(kind, apart)]
    if not said:
        return None
    words, _detail = said[0]
    return Word(
        "differs", words, "warn", apart.since, " ".join(detail for _words, detail in said if detail)
    )


def _of_kind(kind: Kind, apart: Apart) -> Iterator[tuple[str, str]]:
    own, one = apart.ours, apart.theirs
    match kind:
        case Kind.OFF_INVOICE:
            yield (
                _("In QuickBooks, applied differently"),
                _(
                    "%(ours)s of it was applied to its invoice; now %(theirs)s is applied there.",
                    ours=money(own.applied),
                    theirs=money(one.applied_as(own)),
                ),
            )
        case Kind.OTHER_BALANCE:
            yield (
                _("In QuickBooks, balance differs"),
                _(
                    "Its open balance there should be %(ours)s, but it's %(theirs)s.",
                    ours=money(own.balance),
                    theirs=money(one.balance),
                ),
            )
        case Kind.OTHER_CUSTOMER:
            yield (
                _("In QuickBooks, with another customer"),
                _("In QuickBooks it belongs to %(customer)s.", customer=one.name),
            )
        case Kind.OTHER_LINES:
            yield (
                _("In QuickBooks, lines differ"),
                _("Someone changed its lines there; the total is the same."),
            )
        case Kind.OTHER_MONTH:
            yield (
                _("In QuickBooks, in another month"),
                _("There it is dated %(day)s.", day=day(one.day)),
            )
        case Kind.INACTIVE_THERE:
            yield (
                _("Inactive in QuickBooks"),
                _("The customer was made inactive or merged there."),
            )


def _nothing_to_send(it: Situation) -> Word:
    if _is_money_that_stands(it.entry):
        detail = _(
            "Its invoice was voided before it was sent, so this payment can't be sent "
            "either. The money is still recorded here: record it on another invoice, or"
            " record a refund."
        )
        return Word("alert", _("Payment not in QuickBooks"), "warn", it.entry.settled_at, detail)
    detail = _("It was undone before it was sent.")
    return Word("dash", _("Nothing to send"), "quiet", it.entry.settled_at, detail)


def _is_money_that_stands(entry: Entry) -> bool:
    """Whether it is a payment that was not refunded."""
    if entry.record_type != RecordType.PAYMENT:
        return False
    refunded = entry.payload.get("refunded_amount") or 0
    return Decimal(refunded) < Decimal(entry.payload.get("amount") or 0)


def is_taken_back(entry: Entry) -> bool:
    """Whether it is a payment that was given back as a whole."""
    return entry.record_type == RecordType.PAYMENT and not _is_money_that_stands(entry)


def our_total(entry: Entry) -> str | None:
    """Its amount, as of this entry; None for what has none."""
    total = entry.payload.get("total", entry.payload.get("amount"))
    return str(total) if total is not None else None


# --- Of many records at once ----------------------------------------------------------------------


def words_of(kind: RecordType, ids: Sequence[int]) -> dict[int, Word]:
    """Status words of these records; empty without QuickBooks."""
    if not firm().has_quickbooks or not ids:
        return {}
    live_lane = live_lane_id()
    current = current_entries(session(), firm().id, kind, ids, live_lane)
    situations = situations_of(session(), list(current.values()))
    now, zone = datetime.now(UTC), firm().zone
    reason = _(SHOWN[kind].why_not_sent if live_lane is not None else Shown.why_not_sent)
    unsent = [key for key in ids if key not in current] if kind is RecordType.PAYMENT else []
    alone = sent_without_them(unsent)
    words = {}
    for key in ids:
        entry = current.get(key)
        why = _("It was not sent with its invoice.") if key in alone else reason
        words[key] = say(situations[entry.id], now, zone) if entry else not_sent(why)
        if entry and live_lane not in (None, entry.lane_id):
            words[key] = _in_another_company(words[key], entry, situations[entry.id])
    return words


def sent_without_them(payments: Sequence[int]) -> frozenset[int]:
    """Of these payments that were never sent, those whose invoice was, to the connected company."""
    live_lane = live_lane_id()
    if live_lane is None or not payments:
        return frozenset()
    found = session().scalars(
        select(Payment.id)
        .join(
            Entry,
            (Entry.record_type == RecordType.INVOICE) & (Entry.record_id == Payment.invoice_id),
        )
        .where(Payment.id.in_(payments), Entry.lane_id == live_lane)
    )
    return frozenset(found)


def _in_another_company(word: Word, entry: Entry, it: Situation) -> Word:
    """The record's newest entry belongs to a company other than the connected one."""
    if entry.state == State.PENDING or it.connection is None:
        return word
    company = it.connection.company_name
    return not_sent(_("It belongs to %(company)s, another QuickBooks company.", company=company))


def words_of_entries(session: Session, entries: Sequence[Entry]) -> dict[int, Word]:
    """Status words of these entries, with times in the reader's zone."""
    now = datetime.now(UTC)
    situations = situations_of(session, entries)
    zone = current_zone()
    return {key: say(it, now, zone) for key, it in situations.items()}
