"""The words for where a record is on its way to QuickBooks.

Record pages, lists, settings and the admin's outbox all say it through `say`, from the same facts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select, tuple_
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import InstrumentedAttribute, Session, joinedload

from languages import N_
from models.accounts import Organization
from models.outbox import Counterpart, Dispatch, DispatchItem, Entry, LaneState, Operation, State
from models.quickbooks import Connection, ConnectionStatus
from models.sales import Invoice, Lead, Payment, Product, RecordType
from outbox.company import Record
from web.access import dunahub, firm, session
from web.formats import money, spoken_moment
from web.languages import _

# What people call the kinds of record where QuickBooks is concerned.
KINDS = {
    RecordType.LEAD: N_("customer"),
    RecordType.PRODUCT: N_("service"),
    RecordType.INVOICE: N_("invoice"),
    RecordType.PAYMENT: N_("payment"),
}


def called(kind: RecordType, title: object) -> str:
    """A record within a sentence: customer Green Lawn Co, invoice 1042."""
    match kind:
        case RecordType.LEAD:
            return _("customer %(name)s", name=title)
        case RecordType.PRODUCT:
            return _("service %(name)s", name=title)
        case RecordType.INVOICE:
            return _("invoice %(number)s", number=title)
        case RecordType.PAYMENT:
            return _("payment %(amount)s", amount=title)


def first_up(words: str) -> str:
    return words[:1].upper() + words[1:]


def needed_by(stored: str) -> str:
    """What needed the record: stored as "invoice 1042", whatever anyone reads."""
    kind, _space, title = stored.partition(" ")
    return called(RecordType(kind), title) if kind in set(RecordType) else stored


HOLDS = {
    "signed_out": N_("Reconnect QuickBooks, and it will be sent."),
    "access_lost": N_("QuickBooks refuses our access. Reconnect, and it will be sent."),
    "company_reset": N_(
        "This company was set up anew in QuickBooks. Reconnect, and it will be sent."
    ),
    "plan_lapsed": N_("The QuickBooks plan has lapsed. Once it is paid, it will be sent."),
}
PACE = "pace"  # a rest of seconds, to stay under QuickBooks' limits: nobody's trouble
PAUSES = {
    "throttled": N_("QuickBooks is busy."),
    "outage": N_("QuickBooks can't be reached right now."),
}
UNREAD = N_("We first read which customers QuickBooks has, so that none is made twice.")


@dataclass(frozen=True)
class Word:
    """What a pill says: an icon and words, never colour alone."""

    icon: str
    text: str
    tone: str  # good | busy | warn | bad | quiet
    at: datetime | None = None
    detail: str | None = None
    about: Record | None = None  # what it waits for
    is_final: bool = True  # nothing will change it without a person's act


@dataclass(frozen=True)
class Situation:
    """All that decides what is said of an entry."""

    entry: Entry
    organization: Organization
    connection: Connection | None  # whose lane the entry is in
    link: Counterpart | None = None
    dispatch: Dispatch | None = None  # the open one
    waits_for: str | None = None  # "customer Green Lawn Co"
    has_newer: bool = False
    call_takes: timedelta = timedelta(seconds=75)  # how long a call may be under way: the lease


def not_sent(detail: str) -> Word:
    return Word("dash", _("Not sent"), "quiet", detail=detail)


def say(it: Situation, now: datetime, zone: ZoneInfo) -> Word:
    """Where this entry is, in words."""
    match State(it.entry.state):
        case State.PENDING:
            return _say_pending(it, now, zone)
        case State.SYNCED:
            return _say_synced(it)
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
    entry, lane = it.entry, it.entry.lane
    since = entry.created_at
    if lane.state == LaneState.CLOSED:
        return Word("pause", _("On hold"), "warn", since, _belongs(it.connection))
    if lane.state == LaneState.HELD:
        detail = HOLDS.get(lane.hold_reason or "", HOLDS["signed_out"])
        return Word("pause", _("On hold"), "warn", since, _("Nothing is lost.") + " " + _(detail))
    if lane.line and entry.id <= lane.line:
        detail = _("It was waiting when QuickBooks was disconnected. An owner decides in Settings.")
        return Word("pause", _("On hold"), "warn", since, detail)
    if entry.waits_for_type and entry.waits_for_id:
        about = Record(RecordType(entry.waits_for_type), entry.waits_for_id)
        words = _("Waits for %(record)s", record=it.waits_for or _(KINDS[about.type]))
        return Word("clock", words, "warn", since, about=about, is_final=False)
    if it.dispatch and lane.lease_until and lane.lease_until > now:
        sent_at = it.dispatch.sent_at
        if sent_at is None or sent_at > now - it.call_takes:
            return Word("send", _("Sending"), "busy", sent_at, is_final=False)
    again_at, trouble = _next_try(it, now)
    if again_at:
        words = _("Trying again at %(time)s", time=spoken_moment(again_at, zone, now))
        return Word("retry", words, "warn", again_at, trouble, is_final=False)
    return Word("clock", _("Waiting to send"), "busy", since, _why_not_yet(it), is_final=False)


def _why_not_yet(it: Situation) -> str | None:
    """As long as the company's customers are not known, nobody can tell who is new there."""
    is_new = it.entry.aggregate_type == RecordType.LEAD and it.link is None
    is_unread = it.connection is not None and it.connection.customers_read_at is None
    return _(UNREAD) if is_new and is_unread else None


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
        return entry.available_at, _("QuickBooks could not take it a moment ago.")
    if it.dispatch and it.dispatch.sent_at and entry.available_at > now:
        return entry.available_at, _("QuickBooks has not answered yet.")
    return None, None


def _say_synced(it: Situation) -> Word:
    entry, link = it.entry, it.link
    at = entry.settled_at
    if entry.operation == Operation.VOID:
        if link is None:
            return _nothing_to_send(it)
        if entry.aggregate_type == RecordType.LEAD:
            return Word(
                "check", _("In QuickBooks"), "good", at, _("Deleted here; QuickBooks keeps it.")
            )
        return Word("void", _("Voided in QuickBooks"), "quiet", at)
    if link is None:
        return _nothing_to_send(it)
    difference = total_difference(entry, link)
    if difference and not it.has_newer:
        words = _("In QuickBooks, total differs by %(amount)s", amount=money(abs(difference)))
        detail = _(
            "%(ours)s here, %(theirs)s in QuickBooks.",
            ours=money(our_total(entry)),
            theirs=money(link.remote_total),
        )
        return Word("differs", words, "warn", at, detail)
    return Word("check", _("In QuickBooks"), "good", at, _(link.note) if link.note else None)


def _nothing_to_send(it: Situation) -> Word:
    detail = _("It was undone before it was sent.")
    return Word("dash", _("Nothing to send"), "quiet", it.entry.settled_at, detail)


def our_total(entry: Entry) -> str | None:
    key = "total" if entry.aggregate_type == RecordType.INVOICE else "amount"
    total = entry.payload.get(key)
    return str(total) if total is not None else None


def total_difference(entry: Entry, link: Counterpart) -> Decimal:
    """QuickBooks' total less ours, as this entry had it."""
    ours = our_total(entry)
    if ours is None or link.remote_total is None:
        return Decimal(0)
    return Decimal(link.remote_total) - Decimal(ours)


# --- Gathering the facts, a fixed number of queries for any number of rows ------------------------


def words_of(kind: RecordType, ids: Sequence[int]) -> dict[int, Word]:
    """The words for these records of the firm; none for an organization without QuickBooks."""
    if not firm().has_quickbooks or not ids:
        return {}
    live_lane = live_lane_id()
    current = current_entries(session(), firm().id, kind, ids, live_lane)
    situations = situations_of(session(), list(current.values()))
    now, zone = datetime.now(UTC), firm().zone
    reason = _why_not_sent(kind, live_lane is not None)
    words = {}
    for key in ids:
        entry = current.get(key)
        words[key] = say(situations[entry.id], now, zone) if entry else not_sent(reason)
        if entry and live_lane not in (None, entry.lane_id):
            words[key] = _in_another_company(words[key], entry, situations[entry.id])
    return words


def live_lane_id() -> int | None:
    """The lane of the company the firm is connected to, or was until its sign-in expired."""
    return session().scalar(
        select(Connection.lane_id).where(
            Connection.organization_id == firm().id,
            Connection.status != ConnectionStatus.DISCONNECTED,
        )
    )


def _why_not_sent(kind: RecordType, connected: bool) -> str:
    if kind == RecordType.PAYMENT and connected:
        return _("Its invoice isn't in QuickBooks.")
    return _("Created while QuickBooks was not connected.")


def _in_another_company(word: Word, entry: Entry, it: Situation) -> Word:
    """The record's last news is of a company that is not the connected one."""
    if entry.state == State.PENDING or it.connection is None:
        return word
    company = it.connection.company_name
    return not_sent(_("It belongs to %(company)s, another QuickBooks company.", company=company))


def current_entries(
    session: Session,
    organization_id: int,
    kind: RecordType,
    ids: Sequence[int],
    live_lane: int | None,
) -> dict[int, Entry]:
    """The entry that tells where each record is: the newest of the connected company, if any."""
    newest = session.scalars(
        select(Entry)
        .where(
            Entry.organization_id == organization_id,
            Entry.aggregate_type == kind,
            Entry.aggregate_id.in_(ids),
        )
        .options(joinedload(Entry.lane))
        .ext(distinct_on(Entry.aggregate_id, Entry.lane_id))
        .order_by(Entry.aggregate_id, Entry.lane_id, Entry.id.desc())
    ).unique()
    current: dict[int, Entry] = {}
    for entry in sorted(newest, key=lambda entry: (entry.lane_id == live_lane, entry.id)):
        current[entry.aggregate_id] = entry
    return current


def situations_of(session: Session, entries: Sequence[Entry]) -> dict[int, Situation]:
    """The facts about each of these entries, by its number. For DunaHub's staff, across firms."""
    if not entries:
        return {}
    connections = {
        connection.lane_id: connection
        for connection in session.scalars(
            select(Connection).where(Connection.lane_id.in_({entry.lane_id for entry in entries}))
        )
    }
    organizations = {
        organization.id: organization
        for organization in session.scalars(
            select(Organization).where(
                Organization.id.in_({entry.organization_id for entry in entries})
            )
        )
    }
    links = _links(session, entries)
    dispatches = _open_dispatches(session, entries)
    names = names_of(session, _awaited(entries))
    newest = _newest(session, [entry for entry in entries if entry.state != State.PENDING])
    lease = dunahub().config.lease
    return {
        entry.id: Situation(
            entry=entry,
            organization=organizations[entry.organization_id],
            connection=connections.get(entry.lane_id),
            link=links.get(_place(entry)),
            dispatch=dispatches.get(entry.id),
            waits_for=names.get((entry.waits_for_type or "", entry.waits_for_id or 0)),
            has_newer=newest.get(_place(entry), entry.id) > entry.id,
            call_takes=lease,
        )
        for entry in entries
    }


def words_of_entries(session: Session, entries: Sequence[Entry]) -> dict[int, Word]:
    """The words for these entries, each in its organization's time zone."""
    now = datetime.now(UTC)
    situations = situations_of(session, entries)
    return {key: say(it, now, it.organization.zone) for key, it in situations.items()}


Place = tuple[int, str, int]  # lane, kind, record


def _place(entry: Entry) -> Place:
    return entry.lane_id, entry.aggregate_type, entry.aggregate_id


def _links(session: Session, entries: Sequence[Entry]) -> dict[Place, Counterpart]:
    found = session.scalars(
        select(Counterpart).where(
            tuple_(Counterpart.lane_id, Counterpart.aggregate_type, Counterpart.aggregate_id).in_(
                {_place(entry) for entry in entries}
            )
        )
    )
    return {(link.lane_id, link.aggregate_type, link.aggregate_id): link for link in found}


def _open_dispatches(session: Session, entries: Sequence[Entry]) -> dict[int, Dispatch]:
    pending = [entry.id for entry in entries if entry.state == State.PENDING]
    if not pending:
        return {}
    found = session.execute(
        select(DispatchItem.entry_id, Dispatch)
        .join(DispatchItem.dispatch)
        .where(DispatchItem.entry_id.in_(pending), DispatchItem.outcome.is_(None))
    )
    return dict(found.all())


def _newest(session: Session, entries: Sequence[Entry]) -> dict[Place, int]:
    if not entries:
        return {}
    place = (Entry.lane_id, Entry.aggregate_type, Entry.aggregate_id)
    found = session.execute(
        select(*place, func.max(Entry.id))
        .where(
            tuple_(Entry.aggregate_type, Entry.aggregate_id).in_(
                {(entry.aggregate_type, entry.aggregate_id) for entry in entries}
            )
        )
        .group_by(*place)
    )
    return {(lane, kind, record): newest for lane, kind, record, newest in found}


def _awaited(entries: Iterable[Entry]) -> set[Record]:
    return {
        Record(RecordType(entry.waits_for_type), entry.waits_for_id)
        for entry in entries
        if entry.waits_for_type and entry.waits_for_id
    }


def names_of(session: Session, records: Iterable[Record]) -> dict[tuple[str, int], str]:
    """What these records are called: "customer Green Lawn Co", "invoice 1042"."""
    wanted = list(records)
    titles: list[tuple[RecordType, InstrumentedAttribute[int], InstrumentedAttribute[Any]]] = [
        (RecordType.LEAD, Lead.id, Lead.name),
        (RecordType.PRODUCT, Product.id, Product.name),
        (RecordType.INVOICE, Invoice.id, Invoice.number),
        (RecordType.PAYMENT, Payment.id, Payment.amount),
    ]
    names: dict[tuple[str, int], str] = {}
    for kind, key_column, title in titles:
        ids = [record.id for record in wanted if record.type == kind]
        if not ids:
            continue
        for key, name in session.execute(select(key_column, title).where(key_column.in_(ids))):
            shown = money(name) if kind == RecordType.PAYMENT else name
            names[kind.value, key] = called(kind, shown)
    return names
