"""How fast one company may be called.

A generic cell rate algorithm: one time per limit, kept in the lane's row, so that the budget goes
with the lane from drainer to drainer. In any minute at most `burst + 60 s / interval` calls go out.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Pace:
    interval: timedelta
    burst: int

    def wait(self, next_at: datetime | None, now: datetime) -> timedelta:
        """How long until a call may go out; zero when it may go now."""
        if next_at is None:
            return timedelta(0)
        return max(timedelta(0), next_at - self.interval * (self.burst - 1) - now)

    def after_call(self, next_at: datetime | None, now: datetime) -> datetime:
        """The lane's new time after a call went out at `now`."""
        return max(next_at or now, now) + self.interval


@dataclass(frozen=True)
class Limits:
    """What the other end admits. `wave` is how many entries one request may carry."""

    calls: Pace
    batches: Pace
    wave: int = 30


UNLIMITED = Limits(Pace(timedelta(0), 1), Pace(timedelta(0), 1))
