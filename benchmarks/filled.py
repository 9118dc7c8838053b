"""Databases as after years of use, filled by SQL, a million rows at a time.

Rows are what the app and the engine would have left, in the proportions of a small service firm: of
twenty records, five are leads, eight invoices and seven payments, each with one entry, one link,
and a place in a request of up to twenty.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy.engine.interfaces import DBAPICursor

from db import make_engine
from models.sales import RecordType
from models.snapshots import SNAPSHOTS

BLOCK = 20  # records of a firm that belong together: 5 leads, 8 invoices, 7 payments
YEARS = "interval '730 days'"  # settled rows are spread over this time


@contextmanager
def filling(url: str) -> Iterator[DBAPICursor]:
    """A cursor for bulk work, committed at the end. Foreign keys are not checked."""
    engine = make_engine(url, pool_size=1)
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute(
            "SET session_replication_role = replica; SET synchronous_commit = off;"
            "SET maintenance_work_mem = '512MB'; SET work_mem = '256MB'"
        )
        yield cursor
        connection.commit()
    finally:
        connection.close()
        engine.dispose()


@contextmanager
def without_indexes(cursor: DBAPICursor, *tables: str) -> Iterator[None]:
    """Creates indexes after the rows, which takes a third of the time."""
    cursor.execute(
        """
        SELECT index.indexrelid::regclass::text, pg_get_indexdef(index.indexrelid)
        FROM pg_index AS index
        WHERE index.indrelid = ANY(CAST(%s AS regclass[]))
          AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = index.indexrelid)
        """,
        [list(tables)],
    )
    indexes: Sequence[tuple[str, str]] = cursor.fetchall()
    for name, _ in indexes:
        cursor.execute(f"DROP INDEX {name}")
    yield
    for _, definition in indexes:
        cursor.execute(definition)


def firms(cursor: DBAPICursor, count: int) -> None:
    """Organizations 1 to `count`, each with the lane of the same number."""
    cursor.execute(
        f"""
        INSERT INTO organizations (name, region, time_zone)
        SELECT 'Firm ' || number, 'US', 'America/Los_Angeles'
        FROM generate_series(1, {count}) AS number;
        INSERT INTO outbox_lanes (organization_id) SELECT id FROM organizations ORDER BY id
        """
    )


def settled(cursor: DBAPICursor, rows: int, firms: int) -> None:
    """Entries that arrived long ago, of all firms in turn."""
    with without_indexes(cursor, "outbox"):
        cursor.execute(
            f"""
            INSERT INTO outbox (organization_id, lane_id, aggregate_type, aggregate_id, operation,
                                payload, state, created_at, available_at, settled_at)
            SELECT 1 + number % {firms}, 1 + number % {firms}, 'lead', number, 'save',
                   jsonb_build_object('title', 'Customer ' || number, 'needs', '[]'::jsonb,
                                      'email', 'customer' || number || '@example.com'),
                   'synced', saved_at, saved_at, saved_at + interval '2 s'
            FROM generate_series(1, {rows}) AS number
            CROSS JOIN LATERAL (
                SELECT now() - {YEARS} + number * ({YEARS} / {rows + 1}) AS saved_at
            ) AS saved
            """
        )


def pending(cursor: DBAPICursor, lanes: Sequence[int], each: int) -> None:
    """Leads waiting to be sent, in these lanes."""
    cursor.execute(
        f"""
        INSERT INTO outbox (organization_id, lane_id, aggregate_type, aggregate_id, operation,
                            payload)
        SELECT lane.id, lane.id, 'lead', 1000000000 + lane.id * 1000000 + number, 'save',
               jsonb_build_object('title', 'Customer ' || number, 'needs', '[]'::jsonb,
                                  'email', 'customer' || number || '@example.com')
        FROM generate_series(1, {each}) AS number, unnest(%s) AS lane (id)
        """,
        [list(lanes)],
    )


def customers(cursor: DBAPICursor, firms: Sequence[int], each: int) -> None:
    """Leads waiting to be sent, with the snapshots that capture takes."""
    cursor.execute(
        f"""
        SET dunahub.captured = 'on';
        INSERT INTO leads (organization_id, name, email, phone, city, state, first_entry_at)
        SELECT firm.id, 'Customer ' || firm.id || '-' || number,
               'customer' || number || '@firm' || firm.id || '.example', '(555) 010-0000',
               'Fresno', 'CA', clock_timestamp()
        FROM generate_series(1, {each}) AS number CROSS JOIN unnest(%s) AS firm (id);
        INSERT INTO outbox (organization_id, lane_id, aggregate_type, aggregate_id, operation,
                            payload)
        SELECT snapshot.organization_id, lane.id, 'lead', snapshot.id, snapshot.operation,
               snapshot.payload
        FROM ({SNAPSHOTS[RecordType.LEAD]}) AS snapshot
        JOIN outbox_lanes AS lane ON lane.organization_id = snapshot.organization_id
        """,
        [list(firms)],
    )


def churned(url: str, lanes: Sequence[int], each: int) -> None:
    """Entries that were created, sent and settled, with the dead rows that the engine's statements
    leave.

    Timed as for a company at QuickBooks' own limit; each step is committed.
    """
    for statement in (_COME, _GO_OUT, _ARRIVE):
        with filling(url) as cursor:
            cursor.execute(statement, {"lanes": list(lanes), "each": each})


_COME = """
    INSERT INTO outbox (organization_id, lane_id, aggregate_type, aggregate_id, operation,
                        payload, created_at, available_at)
    SELECT lane.id, lane.id, 'lead', 500000000 + lane.id * 1000000 + number, 'save',
           jsonb_build_object('title', 'Customer ' || number, 'needs', '[]'::jsonb),
           saved_at, saved_at
    FROM generate_series(1, %(each)s) AS number
    CROSS JOIN unnest(%(lanes)s) AS lane (id)
    CROSS JOIN LATERAL (
        SELECT now() - interval '83 minutes' * (1 - number::float / %(each)s) AS saved_at
    ) AS saved
"""

_GO_OUT = """
    UPDATE outbox
    SET available_at = available_at + interval '125 seconds', first_attempt_at = available_at
    WHERE state = 'pending'
"""

_ARRIVE = "UPDATE outbox SET state = 'synced', settled_at = available_at WHERE state = 'pending'"


# --- Records, and all that became of them -------------------------------------------------------

LINES = 2  # of an invoice


def histories(cursor: DBAPICursor, rows: int, firms: int, one_in: int) -> None:
    """`rows` entries with their records, links and requests, over two years.

    Firm 1, whose pages are measured, has one block of records in `one_in`; the other firms share
    the rest. Firm 1 has fixed numbers of waiting, failed and unsent records, whatever `rows` is, so
    that pages show the same.
    """
    numbers = {"blocks": rows // BLOCK, "firms": firms, "one_in": one_in}
    for tables in (_RECORDS, _WHAT_BECAME_OF_THEM):
        for table, statement in tables.items():
            with without_indexes(cursor, table):
                cursor.execute(statement, numbers)
            cursor.execute(f"ANALYZE {table}")


_BLOCKS = """
    SELECT number, firm, saved_at,
           firm = 1 AND from_end < 3 AS is_pending,
           firm = 1 AND from_end < 200 AND from_end %% 20 = 7 AS is_never_sent,
           firm = 1 AND from_end < 200 AND from_end %% 4 = 3 AND from_end > 3 AS has_failure
    FROM generate_series(0, %(blocks)s - 1) AS number
    CROSS JOIN LATERAL (
        SELECT CASE WHEN number %% %(one_in)s = 0 THEN 1
                    ELSE 2 + number %% (%(firms)s - 1) END AS firm,
               (%(blocks)s - 1 - number) / %(one_in)s AS from_end,
               now() - interval '730 days' * (1 - number::float / %(blocks)s) AS saved_at
    ) AS of_firm
"""

_PLACES = f"""
    SELECT *, 5 * number + of_kind %% 5 + 1 AS lead_id, 8 * number + of_kind + 1 AS invoice_id,
           CASE kind WHEN 'lead' THEN 5 WHEN 'invoice' THEN 8 ELSE 7 END * number
               + of_kind + 1 AS record_id,
           CASE WHEN is_pending THEN 'pending'
                WHEN has_failure AND place = 2 THEN 'failed' ELSE 'synced' END AS state
    FROM ({_BLOCKS}) AS block
    CROSS JOIN generate_series(0, {BLOCK - 1}) AS place
    CROSS JOIN LATERAL (
        SELECT CASE WHEN place < 5 THEN 'lead' WHEN place < 13 THEN 'invoice'
                    ELSE 'payment' END AS kind,
               CASE WHEN place < 5 THEN place WHEN place < 13 THEN place - 5
                    ELSE place - 13 END AS of_kind
    ) AS of_place
"""

_RECORDS = {
    "leads": f"""
        SET dunahub.captured = 'on';
        INSERT INTO leads (id, organization_id, name, email, phone, city, state, first_entry_at,
                           created_at)
        SELECT record_id, firm, 'Customer ' || record_id, 'customer' || record_id || '@example.com',
               '(555) 010-0000', 'Fresno', 'CA', CASE WHEN NOT is_never_sent THEN saved_at END,
               saved_at
        FROM ({_PLACES}) AS place WHERE kind = 'lead'
    """,
    "invoices": f"""
        SET dunahub.captured = 'on';
        INSERT INTO invoices (id, organization_id, lead_id, number, issued_on, due_on, subtotal,
                              total, paid_amount, mark, first_entry_at, created_at)
        SELECT record_id, firm, lead_id, CAST(record_id AS text), CAST(saved_at AS date),
               CAST(saved_at AS date) + 30, 240, 240, CASE WHEN of_kind < 7 THEN 240 ELSE 0 END,
               'DH-' || record_id, CASE WHEN NOT is_never_sent THEN saved_at END, saved_at
        FROM ({_PLACES}) AS place WHERE kind = 'invoice'
    """,
    "invoice_lines": f"""
        SET dunahub.captured = 'on';
        INSERT INTO invoice_lines (organization_id, invoice_id, position, description, quantity,
                                   unit_price)
        SELECT firm, record_id, line, 'Sprinkler repair ' || line, 1, 120
        FROM ({_PLACES}) AS place CROSS JOIN generate_series(1, {LINES}) AS line
        WHERE kind = 'invoice'
    """,
    "payments": f"""
        SET dunahub.captured = 'on';
        INSERT INTO payments (id, organization_id, invoice_id, amount, method, received_on, mark,
                              first_entry_at, created_at)
        SELECT record_id, firm, invoice_id, 240, 'card', CAST(saved_at AS date),
               'DH-' || record_id, CASE WHEN NOT is_never_sent THEN saved_at END, saved_at
        FROM ({_PLACES}) AS place WHERE kind = 'payment'
    """,
}

_ENTRIES = "".join(
    f"""
    INSERT INTO outbox (id, organization_id, lane_id, aggregate_type, aggregate_id, operation,
                        payload, state, fault_code, fault_about, created_at, available_at,
                        settled_at)
    SELECT {BLOCK} * number + place + 1, firm, firm, kind, record_id, 'save', snapshot.payload,
           place.state, CASE place.state WHEN 'failed' THEN '6240' END,
           CASE place.state WHEN 'failed' THEN '{{"name": "Customer"}}'::jsonb ELSE '{{}}' END,
           saved_at, saved_at,
           CASE WHEN place.state <> 'pending' THEN saved_at + interval '2 s' END
    FROM ({_PLACES}) AS place JOIN ({SNAPSHOTS[kind]}) AS snapshot ON snapshot.id = record_id
    WHERE kind = '{kind.value}' AND NOT is_never_sent;
    """
    for kind in (RecordType.LEAD, RecordType.INVOICE, RecordType.PAYMENT)
)

_WHAT_BECAME_OF_THEM = {
    "outbox": _ENTRIES,
    "outbox_dispatches": f"""
        INSERT INTO outbox_dispatches (id, organization_id, lane_id, request_id, method, path,
                                       query, body, sends, created_at, sent_at, answered_at, status,
                                       trace_id)
        SELECT number + 1, firm, firm, 'request-' || number, 'POST', 'batch', 'minorversion=75',
               '{{"BatchItemRequest": []}}', 1, saved_at, saved_at, saved_at, 200,
               '1-' || md5(CAST(number AS text))
        FROM ({_BLOCKS}) AS block WHERE NOT is_never_sent AND NOT is_pending
    """,
    "outbox_dispatch_items": f"""
        INSERT INTO outbox_dispatch_items (dispatch_id, position, organization_id, lane_id,
                                           entry_id, intent, outcome, settled_at)
        SELECT number + 1, place, firm, firm, {BLOCK} * number + place + 1, 'create',
               CASE state WHEN 'failed' THEN 'rejected' ELSE 'synced' END, saved_at
        FROM ({_PLACES}) AS place WHERE NOT is_never_sent AND NOT is_pending
    """,
    "outbox_links": f"""
        INSERT INTO outbox_links (organization_id, lane_id, aggregate_type, aggregate_id, remote_id,
                                  remote_version, remote_total, created_at, updated_at)
        SELECT firm, firm, kind, record_id, CAST(record_id AS text), '0',
               CASE WHEN kind <> 'lead' THEN '240.00' END, saved_at, saved_at
        FROM ({_PLACES}) AS place WHERE NOT is_never_sent AND state = 'synced'
    """,
    "audit_events": f"""
        INSERT INTO audit_events (organization_id, action, created_at)
        SELECT firm, 'outbox.requeued', saved_at FROM ({_BLOCKS}) AS block
    """,
}


def connected(cursor: DBAPICursor, firms: int) -> None:
    """Makes each firm's lane belong to a connected company."""
    cursor.execute(
        f"""
        INSERT INTO quickbooks_connections (
            organization_id, lane_id, environment, realm_id, company_name, country, status,
            status_since, connected_at, facts_read_at, customers_read_at)
        SELECT id, id, 'simulator', CAST(9000000000 + id AS text), name, 'US', 'connected',
               created_at, created_at, created_at, created_at
        FROM organizations WHERE id <= {firms}
        """
    )
