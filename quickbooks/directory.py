"""The copy of a company's customers: read on connecting, then updated once a day.

Leads that are sent for the first time are matched against it, so that they cost no read. It may be
a day old: it decides which customer a lead is, never what is written to QuickBooks.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.base import Json
from models.outbox import SENT_EMAILS, Counterpart
from models.quickbooks import Connection, ConnectionStatus, Customer
from models.sales import RecordType
from outbox import lanes
from outbox.company import Due
from outbox.scheduler import for_a_while
from quickbooks import facts, matching
from quickbooks.cleaning import addresses, clean_name
from quickbooks.facts import MAX_ROWS, FactsUnavailable, Reader, TooSlow
from quickbooks.kinds.customer import NAME_LONGEST

REFRESHED_AFTER = timedelta(days=1)
CHANGES_READABLE_FOR = timedelta(days=25)  # Intuit reports changes of the last 30 days
OVERLAP = timedelta(hours=1)  # read twice, because Intuit's clock may differ from ours
AT_ONCE = 1000  # rows per INSERT
FIRST_WAIT, LONGEST_WAIT = 60.0, 3600.0  # seconds after a failed read; doubles each time
MIN_ROWS = 100  # per page: smaller pages would be billed without being faster

# --- Reading ------------------------------------------------------------------------------------


def read_all(reader: Reader, most: int = MAX_ROWS) -> list[Json]:
    """All customers, including inactive ones, in pages. Raises FactsUnavailable.

    A query returns at most a thousand rows, and hides inactive ones unless it names them (Intuit's
    guide, *Data queries*): so one page per thousand, or smaller if that takes too long.
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
    """Changes since then; None if there are more than one answer holds."""
    told = reader.get("cdc", entities="Customer", changedSince=since.isoformat(timespec="seconds"))
    lists = [
        changed
        for response in _list_of(told, "CDCResponse")
        for changed in _list_of(response, "QueryResponse")
    ]
    rows = [row for changed in lists for row in changed.get("Customer") or []]
    return rows if len(rows) < MAX_ROWS else None


def _list_of(told: object, key: str) -> list[Json]:
    """The list of changes: if it is missing, the answer is useless;
    if empty, nothing changed. Raises FactsUnavailable."""
    listed = told.get(key) if isinstance(told, dict) else None
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise FactsUnavailable(f"QuickBooks answered without {key}.")
    return listed


def refresh_due(sessions: Sessions, config: Config) -> int:
    """Updates copies that are older than a day; returns how many."""
    older = facts.older_than(sessions, config, Connection.customers_read_at, REFRESHED_AFTER)
    stale = (connection_id for connection_id in older if connection_id not in unread)
    return for_a_while(stale, lambda connection_id: refresh(sessions, config, connection_id))


@dataclass
class Unread:
    """A company whose customers this process could not read, and when to retry."""

    connected_at: datetime  # a new connection doesn't wait because of an old failure
    again_at: float = 0.0  # of time.monotonic
    wait: float = FIRST_WAIT
    most: int = MAX_ROWS

    def read_all(self, reader: Reader) -> list[Json]:
        """Like `read_all`; asks for smaller pages after a timeout."""
        try:
            return read_all(reader, self.most)
        except TooSlow:
            self.most = max(self.most // 2, MIN_ROWS)
            raise

    def put_off(self) -> None:
        """Delays the next attempt; the delay doubles each time."""
        self.again_at = time.monotonic() + self.wait
        self.wait = min(self.wait * 2, LONGEST_WAIT)


# Not in the database: losing it with the process costs a few reads, and no record. Holds only
# companies that were missing at the last check.
unread: dict[int, Unread] = {}


def read_missing(sessions: Sessions, config: Config) -> int:
    """Reads customers that could not be read on connecting, because new leads wait for them.

    However long that takes: a duplicate customer is worse than a reported delay. Reads are metered
    (rule 16), so attempts become rarer, down to one an hour.
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
    """Reads what changed, or everything if that is unknown. False if it cannot be read."""
    with sessions() as session:
        read_at = session.get_one(Connection, connection_id).customers_read_at
        now = _now(session)
    since = read_at - OVERLAP if read_at and now - read_at < CHANGES_READABLE_FOR else None

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
    """Stores what was read at that time; `whole` deletes all others."""
    if whole:
        session.execute(delete(Customer).where(Customer.connection_id == connection.id))
    values = list({row["remote_id"]: row for row in _values(connection, rows)}.values())
    for start in range(0, len(values), AT_ONCE):
        added = insert(Customer).values(values[start : start + AT_ONCE])
        newer = {
            name: added.excluded[name]
            for name in ("version", "name", "name_key", "email", "phone", "active", "currency")
        }
        session.execute(
            added.on_conflict_do_update(index_elements=["connection_id", "remote_id"], set_=newer)
        )
    is_first = connection.customers_read_at is None
    connection.customers_read_at = read_at
    if is_first:
        lanes.send_unsent_now(session, connection.lane_id, RecordType.LEAD)


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
                "currency": matching.currency_of(row),
            }


def _now(session: Session) -> datetime:
    now: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return now.astimezone(UTC)


# --- Matching -----------------------------------------------------------------------------------


def candidates(
    session: Session, lane_id: int, entries: Sequence[Due], *, was_read: bool
) -> list[Json] | None:
    """The customers that these leads may be: those with their e-mail address or name.

    Those of other leads too, because the copy may be older than they are. None if the customers
    have not been read (`was_read`): then it is unknown.
    """
    if not _leads(entries):
        return []
    if not was_read:
        return None
    found = session.execute(_CANDIDATES, sought(lane_id, entries)).one()
    return found_in(found.copied, found.sent)


def taken_of(session: Session, lane_id: int, entries: Sequence[Due]) -> list[tuple[str, str]]:
    """Which of the objects that were found for these records are other records' (`unanswered`): the
    type of those, and the id in QuickBooks."""
    newest = [one["Id"] for due in entries for one in due.knowledge.get("newest", ())]
    if not newest:
        return []
    found = session.execute(
        select(Counterpart.record_type, Counterpart.remote_id).where(
            Counterpart.lane_id == lane_id, Counterpart.remote_id.in_(newest)
        )
    )
    return [(type_, str(remote_id)) for type_, remote_id in found]


def sought(lane_id: int, entries: Sequence[Due]) -> Json:
    """What `CANDIDATES` looks for: the names and e-mail addresses of these leads."""
    leads = _leads(entries)
    names = {
        matching.name_key(clean_name(lead["quickbooks_name"] or lead["name"], NAME_LONGEST))
        for lead in leads
    }
    emails = sorted({email for lead in leads for email in addresses(lead["email"])})
    return {
        "lane": lane_id,
        "names": sorted(names),
        "emails": emails,
        "emails_of_lane": [f"{lane_id} {email}" for email in emails],
    }


def _leads(entries: Sequence[Due]) -> list[Json]:
    return [due.payload for due in entries if due.record.type == RecordType.LEAD]


def found_in(copied: Sequence[Json] | None, sent: Sequence[Json] | None) -> list[Json]:
    """The customers in the two columns of `CANDIDATES`."""
    return [*(copied or ()), *(as_sent(**one) for one in sent or ())]


# Two columns: customers in the copy, and those made of leads, by each address that was sent
# (`ix_outbox_links_of_emails`). Columns, so that the company's settings are read with them.
CANDIDATES = f"""
    (SELECT json_agg(json_build_object(
                'id', customer.remote_id, 'version', customer.version, 'name', customer.name,
                'email', customer.email, 'phone', customer.phone, 'active', customer.active,
                'currency', customer.currency,
                'lead_id', coalesce(lead.id, maker.id),
                'lead_name', coalesce(lead.name, maker.name))
            ORDER BY customer.remote_id, lead.id)
     FROM quickbooks_customers AS customer
     JOIN quickbooks_connections AS its ON its.id = customer.connection_id
     LEFT JOIN outbox_links AS link
       ON link.lane_id = :lane AND link.aggregate_type = 'lead'
      AND link.remote_id = customer.remote_id
     LEFT JOIN leads AS lead ON lead.id = link.aggregate_id
     LEFT JOIN LATERAL (  -- one that nobody has may be what an unanswered create has made
         SELECT made.id, made.name
         FROM outbox_dispatch_items AS item
         JOIN outbox AS entry ON entry.id = item.entry_id
         JOIN leads AS made ON made.id = entry.aggregate_id
         WHERE lead.id IS NULL AND item.lane_id = :lane AND item.outcome IS NULL
           AND item.intent = 'create' AND entry.aggregate_type = 'lead'
           AND lower(CAST(item.document AS jsonb) ->> 'DisplayName') = lower(customer.name)
         ORDER BY entry.id LIMIT 1
     ) AS maker ON true
     WHERE its.lane_id = :lane
       AND (customer.name_key = ANY(CAST(:names AS text[]))
            OR (customer.email <> ''
                AND string_to_array(customer.email, ',') && CAST(:emails AS text[])))
    ) AS copied,
    (SELECT json_agg(json_build_object(
                'remote_id', link.remote_id, 'version', link.remote_version,
                'values', link.sent_values, 'lead_id', lead.id, 'lead_name', lead.name)
            ORDER BY link.aggregate_id)
     FROM outbox_links AS link
     CROSS JOIN LATERAL (
         SELECT lead.id, lead.name FROM leads AS lead WHERE lead.id = link.aggregate_id OFFSET 0
     ) AS lead
     WHERE link.aggregate_type = 'lead' AND link.sent_values ->> 'email' <> ''
       AND {SENT_EMAILS} && CAST(:emails_of_lane AS text[])
       AND link.lane_id = :lane AND link.remote_id IS NOT NULL
    ) AS sent
"""  # noqa: S608  (only constants of ours are put together)
_CANDIDATES = text("SELECT " + CANDIDATES)


def as_sent(
    remote_id: str, version: str, values: Json, lead_id: int, lead_name: str | None
) -> Json:
    """The customer of a lead, as a candidate: as it was sent."""
    names = filter(None, (values["quickbooks_name"] or values["name"], values.get("company_name")))
    return {
        "id": remote_id,
        "version": version,
        "name": values["quickbooks_name"] or values["name"],
        "email": ",".join(addresses(values["email"])),
        "phone": matching.phone_of({"PrimaryPhone": {"FreeFormNumber": values["phone"]}}),
        "active": True,
        "currency": "",
        "lead_id": lead_id,
        "lead_name": lead_name,
        "sent_names": list(names),
    }
