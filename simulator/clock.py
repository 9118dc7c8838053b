"""The simulator's time: the machine's clock, or another source,
plus an offset that tests can increase."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

PACIFIC = ZoneInfo("America/Los_Angeles")  # the time zone of QuickBooks' servers


class Clock:
    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self.source = source  # epoch seconds
        self.offset = 0.0

    def now(self) -> float:
        return self.source() + self.offset

    def today(self) -> date:
        return datetime.fromtimestamp(self.now(), PACIFIC).date()


@lru_cache(maxsize=64)
def _to_the_second(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, PACIFIC).isoformat()


def timestamp(epoch: float) -> str:
    """The format in MetaData: `2020-09-29T05:58:16-07:00`."""
    return _to_the_second(int(epoch))


def envelope_time(epoch: float) -> str:
    """The format in envelopes: `2020-09-29T05:58:16.187-07:00`."""
    stamp = _to_the_second(int(epoch))
    return f"{stamp[:19]}.{int(epoch % 1 * 1000):03d}{stamp[19:]}"


def parse_moment(text: str) -> datetime:
    """A client's date or date-time; without an offset it is Pacific time. Raises ValueError."""
    moment = datetime.fromisoformat(text.strip().replace(" ", "+"))
    return moment if moment.tzinfo else moment.replace(tzinfo=PACIFIC)


def parse_day(text: str) -> date:
    """`2026-01-31`. A time or offset after it is ignored, as in QuickBooks."""
    return date.fromisoformat(text[:10])


def days_after(day: date, days: int) -> str:
    return (day + timedelta(days=days)).isoformat()
