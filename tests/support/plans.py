"""The plans of prepared statements, which are made without their values."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Executable, text
from sqlalchemy.orm import Session
from sqlalchemy.sql import ClauseElement

import prepared
from models.base import Json


def plan_of(session: Session, statement: Executable, values: Mapping[str, Any]) -> Json:
    """Executes a prepared statement; returns its plan and what the parts of it read."""
    for _ in range(2):  # the first is sent as it is
        session.execute(statement, dict(values)).all()
    assert isinstance(statement, ClauseElement)
    name = statement.get_execution_options()[prepared.OPTION]
    written = prepared.as_sql(name, str(statement.compile(dialect=session.get_bind().dialect)))
    execute = text(prepared.PARAMETER.sub(r":\1", written.execute))
    assert f"EXECUTE {written.name}" in str(execute)
    explain = text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {execute.text}")
    plan: Json = session.execute(explain, dict(values)).scalar_one()[0]["Plan"]
    return plan


def nodes_of(plan: Json) -> Iterator[Json]:
    """A plan's parts, the whole first."""
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes_of(below)
