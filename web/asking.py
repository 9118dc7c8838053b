"""Polling by pages: since when, how often, and when next."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from web.paging import asked

MAX_SINCE_AGE = timedelta(days=1)  # oldest `since` that a page may ask with
# (rounds, seconds between them). After the last, the page stops until it is reloaded.
POLL_PAUSES = ((40, 2), (120, 5), (400, 15))


def asked_since() -> datetime | None:
    """When the polling page was loaded."""
    try:
        since = datetime.fromisoformat(asked("since"))
    except ValueError:
        return None
    if since.tzinfo is None or not datetime.now(UTC) - since < MAX_SINCE_AGE:
        return None
    return min(since, datetime.now(UTC))


def asked_round() -> int:
    """How often this page has polled before."""
    count = asked("round", 4)
    return int(count) if count.isascii() and count.isdigit() else 0


def pause_after(round_: int, pauses: Sequence[tuple[int, int]] = POLL_PAUSES) -> int | None:
    """Seconds until the next poll; None when the page should stop."""
    return next((seconds for most, seconds in pauses if round_ < most), None)
