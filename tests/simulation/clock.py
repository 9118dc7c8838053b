"""The database's clock, as the simulation sets it: a slow machine makes nothing due sooner.

Functions of a schema that is searched before PostgreSQL's own take the place of its clock. Each
look moves it on by a microsecond, so that what happens later has a later time.
"""

from functools import cache

from sqlalchemy import Engine, text

from tests.simulation.aside import aside

_INSTALL = (
    "CREATE SCHEMA IF NOT EXISTS simulated",
    "CREATE SEQUENCE IF NOT EXISTS simulated.clock",  # microseconds since 1970
    """
    CREATE OR REPLACE FUNCTION simulated.clock_timestamp() RETURNS timestamptz
    LANGUAGE sql VOLATILE
    RETURN timestamptz 'epoch' + nextval('simulated.clock') * interval '1 microsecond'
    """,
    """
    CREATE OR REPLACE FUNCTION simulated.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT timestamptz ''epoch'' + last_value * interval ''1 microsecond''
        FROM simulated.clock'
    """,
    # defaults keep the function that they were created with
    """
    DO $$
    DECLARE col record;
    BEGIN
        FOR col IN SELECT table_schema, table_name, column_name, column_default
                   FROM information_schema.columns
                   WHERE table_schema = 'public'
                     AND column_default ~ '^(pg_catalog\\.)?(now|clock_timestamp)\\(\\)$'
        LOOP
            EXECUTE format(
                'ALTER TABLE %I.%I ALTER COLUMN %I SET DEFAULT simulated.%s',
                col.table_schema, col.table_name, col.column_name,
                replace(col.column_default, 'pg_catalog.', ''));
        END LOOP;
        EXECUTE format('ALTER DATABASE %I SET search_path = public, simulated, pg_catalog',
                       current_database());
    END $$
    """,
)
_SET = "SELECT setval('simulated.clock', %(microseconds)s)"
_PASS = "SELECT setval('simulated.clock', last_value + %(microseconds)s) FROM simulated.clock"


@cache
def install(engine: Engine) -> None:
    """Gives the database of an engine this clock, once."""
    with engine.begin() as connection:
        for statement in _INSTALL:
            connection.execute(text(statement))
    engine.dispose()  # new connections have the new clock


def set_clock(engine: Engine, seconds: float) -> None:
    """To so many seconds since 1970."""
    aside(engine, _SET, {"microseconds": round(seconds * 1_000_000)})


def pass_time(engine: Engine, seconds: float) -> None:
    """Moves it on, or back."""
    aside(engine, _PASS, {"microseconds": round(seconds * 1_000_000)})
