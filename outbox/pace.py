"""How fast one company may be called.

A generic cell rate algorithm: one time per limit, kept in the lane's row, so that the budget goes
with the lane from drainer to drainer. In any minute calls of at most `burst + 60 s / interval` go
out. What a company refuses as too much slows its lane down for a while (`slowdown_left`).
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

SLOW_FOR = timedelta(minutes=5)  # a ceiling that was learned holds so long …
CLIMB_BACK_IN = timedelta(minutes=10)  # … and is forgotten little by little in so much more
SLOWEST = 4.0  # times slower than usual, at most: others may use the same company for a moment


@dataclass(frozen=True)
class Pace:
    """One call an `interval`, and `burst` of them at once after a rest."""

    interval: timedelta
    burst: int

    def wait(self, next_at: datetime | None, now: datetime, weight: int = 1) -> timedelta:
        """How long until a call that counts `weight` times may go out; zero when it may go now."""
        if next_at is None or not weight:
            return timedelta(0)
        return max(timedelta(0), next_at - self.interval * (self.burst - weight) - now)

    def after_call(self, next_at: datetime | None, now: datetime, weight: int = 1) -> datetime:
        """The lane's new time after such a call went out at `now`."""
        return max(next_at or now, now) + self.interval * weight


@dataclass(frozen=True)
class Limits:
    """What the other end admits. `wave` is how many entries one request may carry.

    `counts_items`: every item of a batch counts, in `batches`, like a request of its own. A small
    one then counts `least_batch` times, lest there be too many of them.
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
        """The same, for a company that said it was too much."""
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
    """How much slower a lane goes after a refusal, when `admitted` calls of its last minute were
    taken: without a burst, they would take a little more than a minute."""
    if admitted < 2 or not pace.interval:
        return SLOWEST
    interval = timedelta(minutes=1) / admitted * 1.02
    return min(max(interval / pace.interval, 1.1), SLOWEST)


def slowdown_left(factor: float, since: timedelta | None) -> float:
    """What is left of a learned slowdown, so long after it was learned. 1 is the usual pace."""
    if since is None or factor <= 1:
        return 1.0
    forgotten = (since - SLOW_FOR) / CLIMB_BACK_IN
    return 1 + (factor - 1) * min(1.0, max(0.0, 1 - forgotten))
