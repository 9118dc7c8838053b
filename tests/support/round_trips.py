"""Counts what goes to the database and back: statements, and also BEGIN, COMMIT and the pool's
pings, which no statement shows. Without PREPARE, of which a connection needs few."""

from collections.abc import Callable
from typing import Any

from psycopg2.extensions import STATUS_READY
from sqlalchemy import Engine, event


class RoundTrips:
    """What an engine has sent since it was counted from, in order."""

    def __init__(self, engine: Engine) -> None:
        self.made: list[str] = []
        event.listen(engine, "before_cursor_execute", self._before_statement)
        event.listen(engine, "commit", lambda connection: self._end(connection, "COMMIT"))
        event.listen(engine, "rollback", lambda connection: self._end(connection, "ROLLBACK"))
        ping: Callable[[Any], bool] = engine.dialect.do_ping

        def noted(dbapi_connection: Any) -> bool:
            self.made.append("ping")
            return ping(dbapi_connection)

        engine.dialect.do_ping = noted  # type: ignore[method-assign]

    def _before_statement(self, connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        raw = connection.connection.dbapi_connection
        if raw.status == STATUS_READY and not raw.autocommit:
            self.made.append("BEGIN")  # psycopg2 sends it on its own, before the first statement
        self.made.append(" ".join(statement.split()))

    def _end(self, connection: Any, what: str) -> None:
        raw = connection.connection.dbapi_connection
        if raw.status != STATUS_READY:
            self.made.append(what)
