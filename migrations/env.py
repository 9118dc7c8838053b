"""Runs migrations on DATABASE_URL, or on the connection that the caller put into the config."""

from alembic import context
from sqlalchemy import Connection, event, text

from config import database_url
from db import make_engine
from models import Base
from outbox.capture import ALLOWED

# two releases that start at the same time migrate one after the other
ONE_AT_A_TIME = 7_301_546_821


def migrate(connection: Connection) -> None:
    context.configure(
        connection,
        target_metadata=Base.metadata,
        compare_server_default=True,
        # In one transaction for all, a table locked by the first would stay so until the last ends.
        transaction_per_migration=True,
    )
    event.listen(connection, "begin", _wait_briefly)
    event.listen(connection, "begin", _allow_writes)
    # The turn has its own transaction, and not the session: PgBouncer lends sessions out.
    with connection.engine.begin() as turn:
        turn.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        turn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ONE_AT_A_TIME})
        with context.begin_transaction():
            context.run_migrations()


def _wait_briefly(connection: Connection) -> None:
    """A migration that doesn't get its lock quickly must not block the writers queued behind it."""
    connection.execute(text("SET LOCAL lock_timeout = '5s'"))


def _allow_writes(connection: Connection) -> None:
    """The tables of records may change from one release to the next. In a migration only the
    triggers of the database refuse to write them without capture: they are of its own time."""
    connection.info[ALLOWED] = True


def main() -> None:
    given: Connection | None = context.config.attributes.get("connection")
    if given is not None:
        migrate(given)
        return
    engine = make_engine(database_url())
    with engine.connect() as connection:
        migrate(connection)
    engine.dispose()


main()
