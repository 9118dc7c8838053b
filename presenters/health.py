"""Health of the outbox across all organizations, for DunaHub's staff."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from models.outbox import Entry, Lane, LaneState, State
from presenters.status import PACE
from web.access import session


@dataclass(frozen=True)
class Health:
    """The first things someone on call looks at."""

    waiting: int
    oldest: datetime | None
    paused: int
    held: int
    closed: int
    failed: int
    draining: int


def health() -> Health:
    now = func.clock_timestamp()
    waiting, oldest = (
        session()
        .execute(
            select(func.count(), func.min(Entry.created_at))
            .join(Entry.lane)
            .where(Entry.state == State.PENDING, Lane.state == LaneState.OPEN)
        )
        .one()
    )
    paused, held, closed, draining = (
        session()
        .execute(
            select(
                func.count().filter(Lane.pause_until > now, Lane.pause_reason != PACE),
                func.count().filter(Lane.state == LaneState.HELD),
                func.count().filter(Lane.state == LaneState.CLOSED),
                func.count().filter(Lane.lease_until > now),
            )
        )
        .one()
    )
    failed = session().scalar(select(func.count()).where(Entry.state == State.FAILED))
    return Health(waiting, oldest, paused, held, closed, failed or 0, draining)
