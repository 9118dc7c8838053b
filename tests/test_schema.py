"""`alembic upgrade head` creates exactly what the models describe, including index predicates."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Engine, event, text

from db import make_engine
from development.database import ALEMBIC_INI, NotOurs, migrate, refuse_foreign
from models import Base

CATALOG = {
    "columns": """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               a.attidentity::text, a.attgenerated::text, pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
          AND a.attnum > 0 AND NOT a.attisdropped
    """,
    "constraints": """
        SELECT c.relname, k.conname, pg_get_constraintdef(k.oid)
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
        WHERE c.relnamespace = 'public'::regnamespace AND k.contype <> 'n'
    """,
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "settings": """
        SELECT relname, relpersistence::text, reloptions::text FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')
    """,
    "code": """
        SELECT p.proname, pg_get_functiondef(p.oid) FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace
        UNION ALL
        SELECT t.tgname, pg_get_triggerdef(t.oid) FROM pg_trigger t WHERE NOT t.tgisinternal
    """,
}


@pytest.mark.parametrize("part", CATALOG)
def test_the_migrations_make_what_the_models_describe(
    part: str, engine: Engine, new_database: Callable[[str], str]
) -> None:
    described = make_engine(new_database("template0"))
    Base.metadata.create_all(described)
    try:
        assert _read(engine, part) == _read(described, part)
    finally:
        described.dispose()


def test_every_migration_can_be_taken_back(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    config = AlembicConfig(ALEMBIC_INI)
    monkeypatch.setenv("DATABASE_URL", engine.url.render_as_string(hide_password=False))
    command.downgrade(config, "base")
    assert _read(engine, "columns") == set()
    command.upgrade(config, "head")
    assert _read(engine, "columns")


LONG = ("UPDATE outbox_links", "INSERT INTO quickbooks_comparisons", "VALIDATE CONSTRAINT")
LOCKED = """
    SELECT DISTINCT relation::regclass::text FROM pg_locks
    WHERE mode = 'AccessExclusiveLock' AND granted
      -- Copies of one template have the same ids of relations; autovacuum may shorten a table.
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND pid IN (SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend')
      AND relation IN ('outbox'::regclass, 'outbox_links'::regclass, 'outbox_lanes'::regclass,
                       'invoices'::regclass, 'payments'::regclass)
"""


def test_what_reads_a_whole_table_locks_nobody_out(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = AlembicConfig(ALEMBIC_INI)
    monkeypatch.setenv("DATABASE_URL", engine.url.render_as_string(hide_password=False))
    command.downgrade(config, "0027")
    locked: list[tuple[str, object]] = []
    seen: set[str] = set()

    def look(*args: Any) -> None:
        statement = " ".join(args[2].split())
        if long := [words for words in LONG if words in statement]:
            seen.update(long)
            locked.extend((statement[:80], table) for (table,) in _run(engine, LOCKED))

    with engine.connect() as connection:
        event.listen(connection, "after_cursor_execute", look)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    assert seen == set(LONG)
    assert locked == []


def test_an_agreed_price_becomes_a_line_and_comes_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = AlembicConfig(ALEMBIC_INI)
    monkeypatch.setenv("DATABASE_URL", engine.url.render_as_string(hide_password=False))
    command.downgrade(config, "0003")
    before = """
        INSERT INTO organizations (name, region, time_zone) VALUES ('Rivera', 'US', 'UTC');
        INSERT INTO leads (organization_id, name) VALUES (1, 'Green Lawn Co');
        INSERT INTO jobs (organization_id, lead_id, title, agreed_price)
            VALUES (1, 1, 'Valve', 640.50), (1, 1, 'Look', NULL);
        INSERT INTO invoices
            (organization_id, lead_id, job_id, number, issued_on, due_on, tax_rate, mark)
            VALUES (1, 1, 1, '1001', '2026-11-20', '2026-11-20', 8.625, 'DH-A');
    """
    _run(engine, before)
    command.upgrade(config, "head")
    lines = "SELECT job_id, description, quantity, amount FROM job_lines"
    assert _run(engine, lines) == [(1, "Valve", 1, Decimal("640.50"))]
    assert _run(engine, "SELECT status FROM jobs ORDER BY id") == [("done",), ("scheduled",)]
    assert _run(engine, "SELECT tax_rate FROM organizations") == [(Decimal("8.625"),)]
    command.downgrade(config, "0003")
    prices = "SELECT agreed_price FROM jobs ORDER BY id"
    assert _run(engine, prices) == [(Decimal("640.50"),), (None,)]


def test_checks_of_ours_that_failed_before_are_no_persons_matter(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = AlembicConfig(ALEMBIC_INI)
    monkeypatch.setenv("DATABASE_URL", engine.url.render_as_string(hide_password=False))
    command.downgrade(config, "0051")
    before = """
        INSERT INTO organizations (name, region, time_zone) VALUES ('Rivera', 'US', 'UTC');
        INSERT INTO outbox_lanes (organization_id) VALUES (1);
        INSERT INTO outbox (organization_id, lane_id, aggregate_type, aggregate_id, operation,
                            payload, state, settled_at, fault_code, knowledge)
        SELECT 1, 1, 'payment', 1, 'save', '{}', state, now(), '6000', knowledge::jsonb
        FROM (VALUES ('failed', '{"applies_credit": true}'), ('skipped', '{"was_taken_off": true}'),
                     ('failed', '{}'), ('skipped', '{}')) AS entry (state, knowledge);
    """
    _run(engine, before)
    command.upgrade(config, "head")
    states = "SELECT state::text FROM outbox ORDER BY id"
    assert _run(engine, states) == [("synced",), ("synced",), ("failed",), ("skipped",)]


def test_the_docs_name_each_table_that_can_not_be_sharded_as_it_is() -> None:
    text_ = Path("docs/scaling.md").read_text()
    rows = text_.partition("| Table | Becomes |")[2].partition("\n\n")[0].splitlines()
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    odd = {
        name
        for name, table in Base.metadata.tables.items()
        if "organization_id" not in table.c or table.c.organization_id.nullable
    }
    assert named == odd | {"alembic_version"}


def test_two_releases_at_once_take_turns(new_database: Callable[[str], str]) -> None:
    url = new_database("template0")
    with ThreadPoolExecutor(2) as releases:
        for release in [releases.submit(_upgrade_by_hand, url) for _ in range(2)]:
            release.result()
    engine = make_engine(url)
    assert _read(engine, "columns")
    engine.dispose()


def test_somebody_elses_database_is_refused(new_database: Callable[[str], str]) -> None:
    url = new_database("template0")
    refuse_foreign(url)  # empty: may be taken
    migrate(url)
    refuse_foreign(url)  # ours

    foreign = new_database("template0")
    engine = make_engine(foreign)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE wordpress_posts ()"))
    engine.dispose()
    with pytest.raises(NotOurs, match="wordpress_posts"):
        refuse_foreign(foreign)


def _upgrade_by_hand(url: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=ALEMBIC_INI.parent,
        env={**os.environ, "DATABASE_URL": url},
        check=True,
    )


def _run(engine: Engine, sql: str) -> list[tuple[object, ...]]:
    """Past the guard of the models: this is a release that does not have them."""
    with closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        cursor.execute(sql)
        rows = cursor.fetchall() if cursor.description else []
        connection.commit()
    return list(rows)


def _read(engine: Engine, part: str) -> set[tuple[object, ...]]:
    with engine.connect() as connection:
        rows = {tuple(row) for row in connection.execute(text(CATALOG[part]))}
    return {row for row in rows if not str(row[0]).startswith("alembic_version")}
