"""Migrates a database to the newest schema, and checks that it is ours."""

from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import inspect
from sqlalchemy.engine import make_url

from db import make_engine

ALEMBIC_INI = Path(__file__).parent.parent / "alembic.ini"
VERSION_TABLE = "alembic_version"


class NotOurs(Exception):
    """The database holds tables of another program."""


def migrate(url: str) -> None:
    config = AlembicConfig(ALEMBIC_INI)
    engine = make_engine(url, pool_size=1)
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()


def refuse_foreign(url: str) -> None:
    """Raises NotOurs if the database holds other tables, so that ours are not mixed with them."""
    engine = make_engine(url, pool_size=1)
    tables = set(inspect(engine).get_table_names())
    engine.dispose()
    if tables and VERSION_TABLE not in tables:
        some = ", ".join(sorted(tables)[:5])
        raise NotOurs(
            f"DATABASE_URL names a database with tables that DunaHub did not make ({some}). "
            f"Give it an empty one: createdb dunahub, then "
            f"DATABASE_URL={make_url(url).set(database='dunahub').render_as_string()}"
        )
