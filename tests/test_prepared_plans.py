"""Statements that are planned without their values read no big table from end to end."""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from prepared import OPTION, as_sql
from simulator.testing import SimulatorHandle
from tests.support.connected import connect, drain, firm_of, new_owner
from tests.support.firm import new_lead

BIG = ("outbox", "outbox_links")
ENTRIES = 10_000  # a plan for few rows that reads all of these would still be chosen gladly

Executed = dict[str, tuple[str, Mapping[str, Any]]]  # by name: the statement and its values

# Settled long ago, each with its link.
_FILL = """
    WITH entry AS (
        INSERT INTO outbox (organization_id, lane_id, aggregate_type, aggregate_id, operation,
                            payload, state, settled_at)
        SELECT organization_id, id, 'lead', 1000000 + n, 'save', '{"needs": []}', 'synced', now()
        FROM outbox_lanes, generate_series(1, :entries) AS n
        RETURNING *)
    INSERT INTO outbox_links (organization_id, lane_id, aggregate_type, aggregate_id, remote_id,
                              remote_version, stale, sent_operation, sent_values)
    SELECT organization_id, lane_id, aggregate_type, aggregate_id, 'X' || aggregate_id, '0', false,
           operation, payload
    FROM entry
"""


@contextmanager
def executed(engine: Engine) -> Iterator[Executed]:
    """The statements that are executed within the block and may be prepared."""
    found: Executed = {}

    def note(_cursor: object, statement: str, values: Any, context: Any) -> None:
        if name := context.execution_options.get(OPTION):
            found[name] = (statement, values)

    event.listen(engine, "do_execute", note, insert=True)
    try:
        yield found
    finally:
        event.remove(engine, "do_execute", note)


def plan_of(connection: Connection, name: str, statement: str, values: Mapping[str, Any]) -> Any:
    """As the server plans it for any values."""
    written = as_sql(f"planned_{name}", statement)  # this connection may have prepared it
    with connection.begin() as transaction, closing(connection.connection.cursor()) as cursor:
        cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        cursor.execute(written.prepare)
        cursor.execute(f"EXPLAIN (FORMAT JSON) {written.execute}", values)
        [(plan,)] = cursor.fetchall()
        cursor.execute(f"DEALLOCATE {written.name}")
        transaction.rollback()
    return plan


def read_whole(plan: object) -> Iterator[str]:
    """The big tables that this plan reads from end to end."""
    if isinstance(plan, list):
        for each in plan:
            yield from read_whole(each)
    if isinstance(plan, dict):
        if plan.get("Node Type") == "Seq Scan" and plan["Relation Name"] in BIG:
            yield plan["Relation Name"]
        for each in plan.values():
            yield from read_whole(each)


@pytest.mark.parametrize("is_analyzed", [True, False])
def test_no_prepared_statement_reads_all_entries_or_all_links(
    session: Session,
    sessions: Sessions,
    engine: Engine,
    config: Config,
    simulator: SimulatorHandle,
    *,
    is_analyzed: bool,
) -> None:
    """Also on a server that has not counted its rows since they came."""
    owner = new_owner(session)
    firm, lane = firm_of(owner), connect(sessions, config, owner).lane_id
    session.execute(text(_FILL), {"entries": ENTRIES})
    session.commit()
    if is_analyzed:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE outbox, outbox_links"))
    with executed(engine) as statements:
        with sessions.begin() as saving:
            saving.add_all(new_lead(firm, name=f"Customer {n}") for n in range(40))
        drain(sessions, config, lane)
    assert len(statements) > 10
    with engine.connect() as connection:
        whole = {
            name: plan
            for name, (statement, values) in statements.items()
            if (plan := set(read_whole(plan_of(connection, name, statement, values))))
        }
    assert whole == {}, json.dumps({name: sorted(tables) for name, tables in whole.items()})
