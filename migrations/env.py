"""Runs migrations on DATABASE_URL, or on the connection that the caller put into the config."""

from alembic import context
from sqlalchemy import Connection, text

from config import database_url
from db import make_engine
from models import Base

ONE_AT_A_TIME = 7_301_546_821  # two releases that start together migrate one after the other


def migrate(connection: Connection) -> None:
    context.configure(
        connection,
        target_metadata=Base.metadata,
        compare_server_default=True,
    )
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ONE_AT_A_TIME})
        # A migration that cannot have its lock soon must not stop the writers queueing behind it.
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
