"""No page reads more than it shows: every statement of every page has its index."""

import pytest
from flask import Flask
from sqlalchemy import Engine, text

from benchmarks.pages import (
    FIRM_PAGES,
    STAFF_PAGES,
    HeavyRead,
    Side,
    fill,
    heavy_reads,
    note_statements,
    side_of,
)

ROWS, ONE_IN = 60_000, 2  # half of them one firm's: more of each kind than any page may read


@pytest.fixture
def side(database_url: str, engine: Engine, app: Flask) -> Side:
    """A firm of thirty thousand entries among 200; its owner and DunaHub's staff look at it."""
    fill(database_url, ROWS, ONE_IN)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    return side_of("many", app, ROWS, ONE_IN)


def reads_of(side: Side, engine: Engine, *pages: str) -> list[HeavyRead]:
    note_statements(side, pages)
    with engine.connect() as connection:
        return list(heavy_reads(connection, side.statements))


def test_no_page_reads_a_big_table_from_end_to_end(side: Side, engine: Engine) -> None:
    assert reads_of(side, engine, *FIRM_PAGES, *STAFF_PAGES) == []


def test_a_page_that_lacks_its_index_is_found(side: Side, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP INDEX ix_invoices_never_sent, ix_outbox_unsynced"))
    reads = reads_of(side, engine, "not sent, invoices", "admin outbox, skipped")
    assert {(read.page, read.table) for read in reads} == {
        ("not sent, invoices", "invoices"),
        ("admin outbox, skipped", "outbox"),
    }
