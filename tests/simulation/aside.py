"""Statements of the simulation itself: after every act, so without SQLAlchemy or a transaction."""

from collections.abc import Mapping
from typing import Any

from psycopg2.extras import NamedTupleCursor
from sqlalchemy import Engine


def aside(engine: Engine, statement: str, parameters: Mapping[str, object]) -> Any:
    """The row that a statement returns, as a named tuple."""
    pooled = engine.raw_connection()
    try:
        driven: Any = pooled.driver_connection
        driven.autocommit = True
        try:
            with driven.cursor(cursor_factory=NamedTupleCursor) as cursor:
                cursor.execute(statement, parameters)
                return cursor.fetchone()
        finally:
            driven.autocommit = False
    finally:
        pooled.close()
