"""Pages that ask again by themselves: since when, how often, and when next."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from web.paging import asked

REMEMBERED = timedelta(days=1)  # how long ago the decision may have been
# Seconds before a page asks again, by how often it has asked; then it rests until it is loaded.
PAUSES = ((40, 2), (120, 5), (400, 15))


def asked_since() -> datetime | None:
    """The moment that the page asking again was loaded with."""
    try:
        since = datetime.fromisoformat(asked("since"))
    except ValueError:
        return None
    if since.tzinfo is None or not datetime.now(UTC) - since < REMEMBERED:
        return None
    return min(since, datetime.now(UTC))


def asked_round() -> int:
    """How often this page has asked before."""
    count = asked("round", 4)
    return int(count) if count.isascii() and count.isdigit() else 0


def pause_after(round_: int, pauses: Sequence[tuple[int, int]] = PAUSES) -> int | None:
    """Seconds until a page asks again; None when it has asked long enough."""
    return next((seconds for most, seconds in pauses if round_ < most), None)
