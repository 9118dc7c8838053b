"""Engine and sessions: plain SQLAlchemy, because half the callers are not requests."""

from datetime import timedelta

import psycopg2
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import IntegrityError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

Sessions = sessionmaker[Session]

# The database's own trouble: away, read-only, locked, out of connections or of time.
TROUBLE = (OperationalError, InterfaceError, InternalError, PoolTimeout)

# A connection outlives a failover or a new address of the database at most this long.
POOL_RECYCLE = timedelta(minutes=30)
READ_ONLY = "25006"  # SQLSTATE read_only_sql_transaction


def make_engine(url: str, *, pool_size: int = 10) -> Engine:
    """An engine on PostgreSQL through psycopg2, whatever driver the URL names or leaves out."""
    address = make_url(url.replace("postgres://", "postgresql://", 1))
    if address.get_backend_name() != "postgresql":
        raise ValueError(f"DunaHub needs PostgreSQL; this is {address.get_backend_name()}.")
    engine = create_engine(
        address.set(drivername="postgresql+psycopg2"),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=10,
        pool_pre_ping=True,  # heals by itself after a database restart
        pool_recycle=int(POOL_RECYCLE.total_seconds()),
        hide_parameters=True,  # an error's text tells the statement, and no customer's values
        connect_args={
            "application_name": "dunahub",
            "options": "-c timezone=UTC",
            "connect_timeout": 5,  # seconds; a database that is away must not hold a thread
        },
    )
    event.listen(engine, "handle_error", _lose_read_only)
    return engine


def _lose_read_only(context: ExceptionContext) -> None:
    """After a failover a pooled connection may lead to what is a standby now. We never ask for a
    read-only transaction, so one means that the connection, and its whole pool, is lost."""
    if getattr(context.original_exception, "pgcode", None) == READ_ONLY:
        context.is_disconnect = True


def answers(sessions: Sessions) -> bool:
    """Whether the database answers a connection apart from the pool, which may be used up."""
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
    """Whether this unique index, check or key refused the statement, and no other.

    Other refusals have other causes: to explain them all as a number that is taken misleads.
    """
    return getattr(getattr(problem.orig, "diag", None), "constraint_name", None) == constraint


def make_sessions(engine: Engine) -> Sessions:
    return sessionmaker(engine, expire_on_commit=False)
