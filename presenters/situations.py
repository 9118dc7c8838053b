"""The facts needed to describe entries, in a fixed number of queries for any number of rows.

One more for each company and kind in which a comparison found a difference.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select, tuple_
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session, joinedload

from models.accounts import Organization
from models.outbox import Counterpart, Dispatch, DispatchItem, Entry, LaneState, State
from models.quickbooks import Connection
from models.sales import Record, RecordType
from presenters.apart import Apart, Place, apart_of
from presenters.here import Amount, amounts_here
from presenters.names import names_of
from web.access import dunahub, firm


@dataclass(frozen=True)
class Situation:
    """Everything that decides how an entry is described."""

    entry: Entry
    organization: Organization
    connection: Connection | None  # the connection that owns the entry's lane
    link: Counterpart | None = None
    dispatch: Dispatch | None = None  # the open one
    waits_for: str | None = None  # "customer Green Lawn Co"
    has_newer: bool = False
    apart: Apart | None = None  # how it differs in QuickBooks, as a comparison found
    here: Amount | None = None  # today's, where changes are not captured: the lane is closed
    call_takes: timedelta = timedelta(seconds=75)  # how long a call may take: the lease


def live_lane_id() -> int | None:
    """The lane of the company that the firm is connected to, also if its sign-in has expired."""
    connection = firm().connection
    return connection.lane_id if connection else None


def current_entries(
    session: Session,
    organization_id: int,
    kind: RecordType,
    ids: Sequence[int],
    live_lane: int | None,
) -> dict[int, Entry]:
    """The entry that gives each record's status: the newest of the connected company, if any."""
    newest = session.scalars(
        select(Entry)
        .where(
            Entry.organization_id == organization_id,
            Entry.record_type == kind,
            Entry.record_id.in_(ids),
        )
        .options(joinedload(Entry.lane))
        .ext(distinct_on(Entry.record_id, Entry.lane_id))
        .order_by(Entry.record_id, Entry.lane_id, Entry.id.desc())
    ).unique()
    current: dict[int, Entry] = {}
    for entry in sorted(newest, key=lambda entry: (entry.lane_id == live_lane, entry.id)):
        current[entry.record_id] = entry
    return current


def situations_of(session: Session, entries: Sequence[Entry]) -> dict[int, Situation]:
    """The facts about each entry, by entry number. Works across firms, for DunaHub's staff."""
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
    apart = apart_of(session, [entry for entry in entries if entry.state == State.SYNCED], links)
    here = _amounts_not_captured(session, entries)
    lease = dunahub().config.lease
    return {
        entry.id: Situation(
            entry=entry,
            organization=organizations[entry.organization_id],
            connection=connections.get(entry.lane_id),
            link=links.get(_place(entry)),
            dispatch=dispatches.get(entry.id),
            waits_for=names.get(entry.awaited) if entry.awaited else None,
            has_newer=newest.get(_place(entry), entry.id) > entry.id,
            apart=apart.get(_place(entry)),
            here=here.get(Record(entry.record_type, entry.record_id))
            if _is_closed_and_there(entry)
            else None,
            call_takes=lease,
        )
        for entry in entries
    }


def _place(entry: Entry) -> Place:
    return entry.lane_id, entry.record_type, entry.record_id


def _links(session: Session, entries: Sequence[Entry]) -> dict[Place, Counterpart]:
    found = session.scalars(
        select(Counterpart).where(
            Counterpart.remote_id.is_not(None),
            tuple_(Counterpart.lane_id, Counterpart.record_type, Counterpart.record_id).in_(
                {_place(entry) for entry in entries}
            ),
        )
    )
    return {(link.lane_id, link.record_type, link.record_id): link for link in found}


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
    place = (Entry.lane_id, Entry.record_type, Entry.record_id)
    found = session.execute(
        select(*place, func.max(Entry.id))
        .where(
            tuple_(Entry.record_type, Entry.record_id).in_(
                {(entry.record_type, entry.record_id) for entry in entries}
            )
        )
        .group_by(*place)
    )
    return {(lane, kind, record): newest for lane, kind, record, newest in found}


def _amounts_not_captured(session: Session, entries: Sequence[Entry]) -> dict[Record, Amount]:
    """While a company is disconnected, no entry says what changed here: the records do."""
    ids: dict[RecordType, list[int]] = {}
    for entry in entries:
        if _is_closed_and_there(entry):
            ids.setdefault(entry.record_type, []).append(entry.record_id)
    return {
        Record(kind, key): here
        for kind, of_kind in ids.items()
        for key, here in amounts_here(session, kind, of_kind).items()
    }


def _is_closed_and_there(entry: Entry) -> bool:
    return entry.state == State.SYNCED and entry.lane.state == LaneState.CLOSED


def _awaited(entries: Iterable[Entry]) -> set[Record]:
    return {entry.awaited for entry in entries if entry.awaited}
