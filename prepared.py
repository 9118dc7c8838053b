"""Statements that are planned rarely, and not at each execution.

Between a save and its request planning takes longer than executing, and psycopg2 prepares nothing.
So these statements are sent as SQL's own PREPARE and EXECUTE, with plans that fit any value
(`plan_cache_mode` in `db.py`). The first execution on a connection is sent as it is: most
connections of a command or of a quiet firm make no second one.

What is prepared belongs to one process of the server. Behind a pooler in transaction mode the next
EXECUTE could meet another one, so there nothing is prepared: a pooler answers a new connection with
a process number that is not the server's. If one doesn't, the first refusal ends preparing here.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import structlog
from sqlalchemy import Engine, Executable, event, text
from sqlalchemy.engine import ExceptionContext, ExecutionContext
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.types import TypeEngine

# SQLSTATEs of an EXECUTE or PREPARE that met another process of the server than it was meant for.
_MET_ANOTHER = frozenset({"26000", "42P05"})
# SQLSTATE of a statement that gives other columns since a migration: it has to be prepared again.
_HAS_OTHER_COLUMNS = "0A000"

OPTION = "prepared"  # of an execution: the statement's name
_KEPT = "prepared"  # on the connection, as long as it lives
# A plan made while a table is nearly empty reads all of it. The server makes another one only after
# an ANALYZE, a minute later, and a busy minute adds many rows. As each of them comes with an
# execution, the plan is also made again at these.
_PLANNED_AGAIN_AT = frozenset(4**power for power in range(1, 12))

log = structlog.get_logger()


def prepared(name: str, sql: str, **types: TypeEngine[Any]) -> Executable:
    """A statement that is slower to plan than to execute, with the types of columns that need one.

    Its plan is made without its values, so it must be as good for all of them. The types of its
    parameters must be clear from the statement. Lists of the server's activity show `name`.
    """
    statement = text(sql).columns(**types) if types else text(sql)
    return statement.execution_options(**{OPTION: name})


def attach(engine: Engine) -> None:
    """Makes an engine prepare the statements that are marked."""
    preparing = _Preparing()
    event.listen(engine, "do_execute", preparing.execute)
    event.listen(engine, "handle_error", preparing.forget)


class _Preparing:
    """Of one engine: whether its connections may prepare."""

    def __init__(self) -> None:
        self.is_safe = True

    def execute(
        self,
        cursor: DBAPICursor,
        statement: str,
        parameters: Mapping[str, Any],
        context: ExecutionContext,
    ) -> bool:
        """Whether the statement was executed here; otherwise SQLAlchemy does it."""
        name = context.execution_options.get(OPTION)
        if name is None or not self.is_safe:
            return False
        written = as_sql(name, statement)
        kept: _Kept = context.root_connection.info.setdefault(_KEPT, _Kept())
        kept.executions[written.name] += 1
        if kept.executions[written.name] == 1 or not kept.may_prepare(cursor):
            return False
        kept.prepare(cursor, written)
        cursor.execute(written.execute, parameters)
        return True

    def forget(self, context: ExceptionContext) -> None:
        """After a refusal of what was prepared, all connections are replaced, as if lost. What was
        under way is repeated, as after any lost connection."""
        execution = context.execution_context
        if execution is None or OPTION not in execution.execution_options:
            return
        code = getattr(context.original_exception, "pgcode", None)
        if code in _MET_ANOTHER:
            self.is_safe = False
            log.warning("a pooler lends connections: statements are no longer prepared", code=code)
        if code in _MET_ANOTHER or code == _HAS_OTHER_COLUMNS:
            context.is_disconnect = True


@dataclass
class _Kept:
    """Of one connection: what it has prepared."""

    executions: Counter[str] = field(default_factory=Counter)
    names: set[str] = field(default_factory=set)
    _leads_to_server: bool | None = None

    def may_prepare(self, cursor: Any) -> bool:
        """Whether no pooler is in between: the process that answers is the one that answered
        first."""
        if self._leads_to_server is None:
            cursor.execute("SELECT pg_backend_pid()")
            self._leads_to_server = cursor.fetchone()[0] == cursor.connection.get_backend_pid()
        return self._leads_to_server

    def prepare(self, cursor: DBAPICursor, written: "Written") -> None:
        """Prepares it, unless it is and its plan is still a good one."""
        name, forget = written.name, ""
        if name in self.names:
            if self.executions[name] not in _PLANNED_AGAIN_AT:
                return
            self.names.remove(name)  # even if what follows fails
            forget = f"DEALLOCATE {name}; "
        cursor.execute(forget + written.prepare)
        self.names.add(name)


@dataclass(frozen=True)
class Written:
    """A statement as SQL prepares and executes it."""

    name: str
    prepare: str
    execute: str


@cache
def as_sql(name: str, statement: str) -> Written:
    """How a statement with parameters of psycopg2 is prepared and executed."""
    parameters = list(dict.fromkeys(PARAMETER.findall(statement)))
    body = PARAMETER.sub(lambda found: f"${parameters.index(found[1]) + 1}", statement)
    # Two releases, or two statements of one name, never take each other's.
    name = f"{name}_{hashlib.sha256(body.encode()).hexdigest()[:8]}"
    values = ", ".join(f"%({each})s" for each in parameters)
    return Written(
        name,
        prepare=f"PREPARE {name} AS {body.replace('%%', '%')}",
        execute=f"EXECUTE {name} ({values})" if parameters else f"EXECUTE {name}",
    )


PARAMETER = re.compile(r"%\((\w+)\)s")
