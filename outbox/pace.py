"""Rate limits of one company.

A generic cell rate algorithm: one time per limit, stored in the lane's row, so that the budget
moves with the lane from drainer to drainer. At most `burst + 60 s / interval` calls are sent in any
minute. Throttling by the company slows its lane down for a while (`slowdown_left`).
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

SLOW_FOR = timedelta(minutes=5)  # a learned limit is kept for this long …
CLIMB_BACK_IN = timedelta(minutes=10)  # … and then forgotten gradually over this time
# times slower than usual, at most: others may be using the same company for a moment
MAX_SLOWDOWN = 4.0


@dataclass(frozen=True)
class Pace:
    """One call per `interval`, and `burst` of them at once after a pause."""

    interval: timedelta
    burst: int

    def wait(self, next_at: datetime | None, now: datetime, weight: int = 1) -> timedelta:
        """How long until a call that counts `weight` times may be sent; zero if now."""
        if next_at is None or not weight:
            return timedelta(0)
        return max(timedelta(0), next_at - self.interval * (self.burst - weight) - now)

    def after_call(self, next_at: datetime | None, now: datetime, weight: int = 1) -> datetime:
        """The lane's new time after such a call was sent at `now`."""
        return max(next_at or now, now) + self.interval * weight


@dataclass(frozen=True)
class Limits:
    """What the company admits. `wave` is how many entries one request may hold.

    `counts_items`: every item of a batch counts in `batches` like a separate request. A small batch
    then counts `least_batch` times, to limit their number.
    """

    calls: Pace
    batches: Pace
    wave: int = 30
    counts_items: bool = False
    least_batch: int = 1

    def weight(self, items: int, *, is_batch: bool) -> int:
        """How often a request counts in `batches`."""
        if not self.counts_items:
            return int(is_batch)
        return max(items, self.least_batch) if is_batch else 1

    def slowed(self, factor: float) -> "Limits":
        """The same limits, slowed down for a company that throttled us."""
        if factor <= 1:
            return self
        burst = self.batches.burst if self.counts_items else 1
        return replace(
            self,
            calls=replace(self.calls, interval=self.calls.interval * factor),
            batches=Pace(self.batches.interval * factor, burst),
        )


UNLIMITED = Limits(Pace(timedelta(0), 1), Pace(timedelta(0), 1))


def learned_slowdown(pace: Pace, admitted: int) -> float:
    """The slowdown after throttling, if `admitted` calls of the last minute were accepted: without
    a burst, they would take a little more than a minute."""
    if admitted < 2 or not pace.interval:
        return MAX_SLOWDOWN
    interval = timedelta(minutes=1) / admitted * 1.02
    return min(max(interval / pace.interval, 1.1), MAX_SLOWDOWN)


def slowdown_left(factor: float, since: timedelta | None) -> float:
    """The slowdown left so long after it was learned. 1 is the usual pace."""
    if since is None or factor <= 1:
        return 1.0
    forgotten = (since - SLOW_FOR) / CLIMB_BACK_IN
    return 1 + (factor - 1) * min(1.0, max(0.0, 1 - forgotten))
