"""Databases as they are after years: filled by SQL, a million rows at a time.

What is stored is what the app and the engine would have left behind, in the proportions of a small
service firm: of twenty records five are leads, eight invoices and seven payments, each of them with
one entry, one link, and a place in a request of up to twenty.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy.engine.interfaces import DBAPICursor

from db import make_engine

BLOCK = 20  # records of a firm that belong together: 5 leads, 8 invoices, 7 payments
YEARS = "interval '730 days'"  # over which the settled rows are spread


@contextmanager
def filling(url: str) -> Iterator[DBAPICursor]:
    """A cursor for bulk work, committed in the end. Foreign keys are ours to get right."""
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
    """Indexes are made after the rows, which takes a third of the time."""
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
    """Organizations 1 to `count`, each with the lane of its own number."""
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
    """Leads that wait to be sent, in these lanes."""
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


def churned(url: str, lanes: Sequence[int], each: int) -> None:
    """Entries that came, went out and arrived; the statements leave behind what the engine's do.

    The times are those of a company at QuickBooks' own limit; each step is committed.
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
