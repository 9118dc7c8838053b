"""The customers of a company: read when it is connected, then what changed there, once a day.

Leads that are sent for the first time are matched with this copy, so that no record costs a read.
It may be a day old: it decides who a lead may be, and never what is written to QuickBooks.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Text, cast, delete, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.base import Json
from models.outbox import Counterpart
from models.quickbooks import Connection, ConnectionStatus, Customer
from models.sales import Lead, RecordType
from outbox.company import Due
from outbox.scheduler import for_a_while
from quickbooks import facts, matching
from quickbooks.cleaning import addresses, clean_name
from quickbooks.facts import MOST_ROWS, FactsUnavailable, Reader, TooSlow
from quickbooks.payloads import NAME_LONGEST

LASTS = timedelta(days=1)
REMEMBERED = timedelta(days=25)  # Intuit tells of changes within the last 30 days
OVERLAP = timedelta(hours=1)  # asked for twice, because its clock is not ours
AT_ONCE = 1000  # rows of one INSERT
FIRST_WAIT, LONGEST_WAIT = 60.0, 3600.0  # seconds after a failed read; doubles with each
FEWEST_ROWS = 100  # of a page: smaller ones would be paid for without being faster

# --- Reading ------------------------------------------------------------------------------------


def read_all(reader: Reader, most: int = MOST_ROWS) -> list[Json]:
    """Every customer, inactive ones too, so many at a time. Raises FactsUnavailable.

    A query gives a thousand rows at most, and hides inactive ones unless it names them (Intuit's
    guide, *Data queries*): so a page per thousand, or per less where it can't give so many in time.
    """
    found: list[Json] = []
    told = 0
    while True:
        page, count = reader.page(
            "Customer", f"where Active IN (true, false) orderby Id startposition {told + 1}", most
        )
        found += page
        told += count
        if count < most:
            return found


def _changes(reader: Reader, since: datetime) -> list[Json] | None:
    """What changed since; None when that is more than one answer tells."""
    told = reader.get("cdc", entities="Customer", changedSince=since.isoformat(timespec="seconds"))
    lists = [
        changed
        for response in _list_of(told, "CDCResponse")
        for changed in _list_of(response, "QueryResponse")
    ]
    rows = [row for changed in lists for row in changed.get("Customer") or []]
    return rows if len(rows) < MOST_ROWS else None


def _list_of(told: object, key: str) -> list[Json]:
    """Of what changed since: a list that is missing says nothing, and an empty one that nothing
    did. Raises FactsUnavailable."""
    listed = told.get(key) if isinstance(told, dict) else None
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise FactsUnavailable(f"QuickBooks answered without {key}.")
    return listed


def refresh_due(sessions: Sessions, config: Config) -> int:
    """Refreshes the directories that are older than a day; says of how many companies."""
    older = facts.older_than(sessions, config, Connection.customers_read_at, LASTS)
    stale = (connection_id for connection_id in older if connection_id not in unread)
    return for_a_while(stale, lambda connection_id: refresh(sessions, config, connection_id))


@dataclass
class Unread:
    """A directory that this process could not read, and how it is tried again."""

    connected_at: datetime  # who connects anew is not kept waiting for what was before
    again_at: float = 0.0  # of time.monotonic
    wait: float = FIRST_WAIT
    most: int = MOST_ROWS

    def read_all(self, reader: Reader) -> list[Json]:
        """As `read_all`; asks for less at a time after a time-out."""
        try:
            return read_all(reader, self.most)
        except TooSlow:
            self.most = max(self.most // 2, FEWEST_ROWS)
            raise

    def put_off(self) -> None:
        """The next try waits from now on, and the one after it twice as long."""
        self.again_at = time.monotonic() + self.wait
        self.wait = min(self.wait * 2, LONGEST_WAIT)


# Not in the database: forgotten with the process, it costs a few reads, and no record. It holds
# only companies that are missing at the last look.
unread: dict[int, Unread] = {}


def read_missing(sessions: Sessions, config: Config) -> int:
    """Reads the directories that could not be read at connect: new customers wait for them.

    However long that lasts: a customer made twice is worse than a wait that people are told of.
    Tries are paid for (rule 16), so they get rarer, down to one an hour.
    """
    with sessions() as session:
        found = session.execute(
            select(Connection.id, Connection.connected_at)
            .where(
                Connection.status == ConnectionStatus.CONNECTED,
                Connection.environment == config.environment,
                Connection.customers_read_at.is_(None),
            )
            .order_by(func.random())
        )
        missing = {row.id: row.connected_at for row in found}
    for connection_id in list(unread):
        if missing.get(connection_id) != unread[connection_id].connected_at:
            del unread[connection_id]
    for connection_id, connected_at in missing.items():
        unread.setdefault(connection_id, Unread(connected_at))
    due = [one for one in missing if unread[one].again_at <= time.monotonic()]
    return for_a_while(due, lambda one: _try(sessions, config, one, unread[one]))


def _try(sessions: Sessions, config: Config, connection_id: int, missing: Unread) -> bool:
    try:
        return refresh(sessions, config, connection_id, missing.read_all)
    finally:
        missing.put_off()


def refresh(
    sessions: Sessions,
    config: Config,
    connection_id: int,
    read_whole: Callable[[Reader], list[Json]] = read_all,
) -> bool:
    """Reads what changed, or everything where that is not known. False when it cannot be had."""
    with sessions() as session:
        read_at = session.get_one(Connection, connection_id).customers_read_at
        now = _now(session)
    since = read_at - OVERLAP if read_at and now - read_at < REMEMBERED else None

    def read(reader: Reader) -> tuple[list[Json], bool]:
        changes = _changes(reader, since) if since else None
        return (read_whole(reader), True) if changes is None else (changes, False)

    found = facts.reading(sessions, config, connection_id, read)
    if found is None:
        return False
    with sessions.begin() as session:
        connection = session.get(Connection, connection_id, with_for_update={"key_share": True})
        if connection is not None:
            store(session, connection, found[0], now, whole=found[1])
    return True


def store(
    session: Session,
    connection: Connection,
    rows: Sequence[Json],
    read_at: datetime,
    *,
    whole: bool,
) -> None:
    """Writes what was read at that time; `whole` forgets everyone else."""
    if whole:
        session.execute(delete(Customer).where(Customer.connection_id == connection.id))
    values = list({row["remote_id"]: row for row in _values(connection, rows)}.values())
    for start in range(0, len(values), AT_ONCE):
        added = insert(Customer).values(values[start : start + AT_ONCE])
        newer = {
            name: added.excluded[name]
            for name in ("version", "name", "name_key", "email", "phone", "active")
        }
        session.execute(
            added.on_conflict_do_update(index_elements=["connection_id", "remote_id"], set_=newer)
        )
    connection.customers_read_at = read_at


def _values(connection: Connection, rows: Sequence[Json]) -> Iterator[Json]:
    for row in rows:
        if matching.is_object(row) and row.get("DisplayName"):
            name = str(row["DisplayName"]).replace("\0", "")
            yield {
                "connection_id": connection.id,
                "remote_id": str(row["Id"]),
                "organization_id": connection.organization_id,
                "version": str(row["SyncToken"]),
                "name": name,
                "name_key": matching.name_key(name),
                "email": matching.email_of(row).replace("\0", ""),
                "phone": matching.phone_of(row),
                "active": row.get("Active") is not False,
            }


def _now(session: Session) -> datetime:
    now: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return now.astimezone(UTC)


# --- Matching -----------------------------------------------------------------------------------


def candidates(
    session: Session, lane_id: int, entries: Sequence[Due], *, was_read: bool
) -> list[Json] | None:
    """The customers whom these leads may be: those with their e-mail address or their name.

    None as long as the directory could not be read (`was_read`): then nobody can say.
    """
    leads = [due.payload for due in entries if due.record.type == RecordType.LEAD]
    names = {
        matching.name_key(clean_name(lead["quickbooks_name"] or lead["name"], NAME_LONGEST))
        for lead in leads
    }
    emails = {email for lead in leads for email in addresses(lead["email"])}
    if not leads:
        return []
    if not was_read:
        return None
    found = session.execute(
        select(Customer, Lead.id.label("lead_id"), Lead.name.label("lead_name"))
        .join(Connection, Connection.id == Customer.connection_id)
        .outerjoin(
            Counterpart,
            (Counterpart.lane_id == lane_id)
            & (Counterpart.record_type == RecordType.LEAD)
            & (Counterpart.remote_id == Customer.remote_id),
        )
        .outerjoin(Lead, Lead.id == Counterpart.record_id)
        .where(
            Connection.lane_id == lane_id,
            # As arrays: a list of IN would be written into the statement anew for each wave.
            or_(
                Customer.name_key == func.any(cast(sorted(names), ARRAY(Text))),
                (Customer.email != "")
                & func.string_to_array(Customer.email, ",").op("&&")(
                    cast(sorted(emails), ARRAY(Text))
                ),
            ),
        )
        .order_by(Customer.remote_id)
    )
    return [
        {
            "id": row.Customer.remote_id,
            "version": row.Customer.version,
            "name": row.Customer.name,
            "email": row.Customer.email,
            "phone": row.Customer.phone,
            "active": row.Customer.active,
            "lead_id": row.lead_id,
            "lead_name": row.lead_name,
        }
        for row in found
    ]
