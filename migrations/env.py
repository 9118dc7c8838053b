"""Runs migrations on DATABASE_URL, or on the connection that the caller put into the config."""

from alembic import context
from sqlalchemy import Connection, text

from config import database_url
from db import make_engine
from models import Base

# two releases that start at the same time migrate one after the other
ONE_AT_A_TIME = 7_301_546_821


def migrate(connection: Connection) -> None:
    context.configure(
        connection,
        target_metadata=Base.metadata,
        compare_server_default=True,
    )
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ONE_AT_A_TIME})
        # A migration that doesn't get its lock quickly must not block the writers queued behind it.
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        context.run_migrations()


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
