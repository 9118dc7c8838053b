"""Engine and sessions. Plain SQLAlchemy, because half of the callers are not requests."""

import select
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic

import psycopg2
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import (
    DatabaseError,
    IntegrityError,
    InterfaceError,
    InternalError,
    InvalidatePoolError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry as PoolRecord

import prepared

Sessions = sessionmaker[Session]

# Errors of the database itself: down, read-only, locked, out of connections, or timed out.
DATABASE_ERRORS = (OperationalError, InterfaceError, InternalError, PoolTimeout)

# Bounds how long a connection survives a failover or a new address of the database.
POOL_RECYCLE = timedelta(minutes=30)
# An unused connection may be dropped on the way without a word to either end.
PING_AFTER = timedelta(seconds=30)
READ_ONLY = "25006"  # SQLSTATE read_only_sql_transaction


def make_engine(url: str, *, pool_size: int = 10) -> Engine:
    """An engine for PostgreSQL through psycopg2, whatever driver the URL names."""
    address = make_url(url.replace("postgres://", "postgresql://", 1))
    if address.get_backend_name() != "postgresql":
        raise ValueError(f"DunaHub needs PostgreSQL; this is {address.get_backend_name()}.")
    engine = create_engine(
        address.set(drivername="postgresql+psycopg2"),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=10,
        pool_recycle=int(POOL_RECYCLE.total_seconds()),
        hide_parameters=True,  # errors show the statement, but no customer's values
        connect_args={
            "application_name": "dunahub",
            # What is prepared is planned once, and not five times first (prepared.py).
            "options": "-c timezone=UTC -c plan_cache_mode=force_generic_plan",
            "connect_timeout": 5,  # seconds; an unreachable database must not block a thread
        },
    )
    event.listen(engine, "handle_error", _lose_read_only)
    prepared.attach(engine)
    event.listen(engine, "handle_error", _as_trouble_of_the_database, retval=True)
    _drop_dead_connections(engine)
    return engine


def _drop_dead_connections(engine: Engine) -> None:
    """Makes the pool survive a restart of the database, like `pool_pre_ping`, but without asking
    the server at each checkout: a connection that the server closed has something to read."""

    @event.listens_for(engine, "checkin")
    def note(connection: DBAPIConnection | None, record: PoolRecord) -> None:
        record.info["used_at"] = monotonic()

    @event.listens_for(engine, "checkout")
    def check(connection: DBAPIConnection, record: PoolRecord, _fairy: object) -> None:
        used_at: float | None = record.info.get("used_at")
        if used_at is None:
            return  # a new one
        is_fresh = monotonic() - used_at < PING_AFTER.total_seconds()
        try:
            if not is_fresh or _has_something_to_read(connection):
                engine.dialect.do_ping(connection)
        except psycopg2.Error as problem:
            raise InvalidatePoolError from problem  # the pool opens another


def _has_something_to_read(connection: DBAPIConnection) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _lose_read_only(context: ExceptionContext) -> None:
    """Drops the pool when a connection turns out to be read-only. After a failover,
    pooled connections may lead to what is now a standby. We never ask for a read-only
    transaction ourselves."""
    if getattr(context.original_exception, "pgcode", None) == READ_ONLY:
        context.is_disconnect = True


def _as_trouble_of_the_database(context: ExceptionContext) -> OperationalError | None:
    """A connection that the server closed with a last word, as in a crash, fails with a plain
    DatabaseError in psycopg2, and one that must be replaced with any other error: as if the
    statement were to blame."""
    told = context.sqlalchemy_exception
    if not (context.is_disconnect and isinstance(told, DatabaseError)):
        return None
    if isinstance(told, DATABASE_ERRORS):
        return None
    return OperationalError(
        told.statement, told.params, told.orig or told, hide_parameters=True,
        connection_invalidated=True,
    )  # fmt: skip


def answers(sessions: Sessions) -> bool:
    """Whether the database accepts a new connection. Not from the pool, which may be exhausted."""
    engine: Engine = sessions.kw["bind"]
    arguments, options = engine.dialect.create_connect_args(engine.url)
    try:
        connection = engine.dialect.connect(*arguments, **{**options, "connect_timeout": 3})
        try:
            connection.cursor().execute("SET statement_timeout = '3s'; SELECT 1")
        finally:
            connection.close()
    except psycopg2.Error:
        return False
    return True


def breaks(problem: IntegrityError, constraint: str) -> bool:
    """Whether exactly this unique index, check or key refused the statement.

    Reporting any other refusal as "number taken" would mislead.
    """
    return getattr(getattr(problem.orig, "diag", None), "constraint_name", None) == constraint


def make_sessions(engine: Engine) -> Sessions:
    return sessionmaker(engine, expire_on_commit=False)


@contextmanager
def single_statements(sessions: Sessions) -> Iterator[Session]:
    """A session in which each statement is a transaction. It saves the round trips of BEGIN and
    COMMIT."""
    with sessions() as session:
        session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        yield session


REPEATABLE_READ = "REPEATABLE READ"  # psycopg2 says it with BEGIN: no round trip, nothing to reset


@contextmanager
def one_snapshot(sessions: Sessions) -> Iterator[Session]:
    """A session that reads what belongs together: what commits meanwhile is in all that it reads,
    or in nothing of it.

    For reading only. A write or a lock fails there if someone has just written the same row.
    """
    with sessions() as session:
        session.connection(execution_options={"isolation_level": REPEATABLE_READ})
        yield session


def snapshots(sessions: Sessions) -> Sessions:
    """Sessions of which each transaction is like `one_snapshot`."""
    engine: Engine = sessions.kw["bind"]
    return make_sessions(engine.execution_options(isolation_level=REPEATABLE_READ))
