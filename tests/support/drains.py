"""Draining by hand, with time moved in the data."""

import threading

from sqlalchemy import text
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from outbox.company import Company
from outbox.poller import drain_lane


def drain(sessions: Sessions, company: Company, lane_id: int, config: Config) -> None:
    """Drains a lane until it says that nothing more is due."""
    for _ in range(1000):
        if drain_lane(sessions, company, lane_id, config, threading.Event()) is None:
            return
    raise AssertionError("the lane wants turn after turn")


def make_due(session: Session) -> None:
    """Time passes: back-offs, deadlines of answers, pauses and leases are over."""
    session.rollback()
    session.execute(
        text("UPDATE outbox SET available_at = clock_timestamp() WHERE available_at > now()")
    )
    session.execute(
        text(
            "UPDATE outbox_lanes SET pause_until = NULL, pause_reason = NULL, lease_until = NULL,"
            " next_call_at = NULL, next_batch_at = NULL, questions_rest_until = NULL"
        )
    )
    session.commit()


def make_older(session: Session, age: str = "11 min") -> None:
    """So much time passes for what is stored."""
    session.rollback()
    for table in ("outbox", "outbox_dispatches"):
        session.execute(text(f"UPDATE {table} SET created_at = created_at - interval '{age}'"))
    session.commit()
