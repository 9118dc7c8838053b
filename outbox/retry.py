"""When to retry an entry that failed by its own fault. Pure, readable as a table."""

from dataclasses import dataclass
from datetime import timedelta

FIRST_DELAY = timedelta(seconds=2)
MAX_DELAY = timedelta(hours=1)
MAX_CHECK_DELAY = timedelta(hours=12)  # of a check of ours, for which nobody waits
MAX_RETRY_TIME = timedelta(days=3)  # for the entry's own transient faults …
PATIENT_ATTEMPTS = 24  # … and this many of them: days of an outage or a hold never count
MAX_OUTAGE_PAUSE = timedelta(minutes=1)  # between two probes of a company that is down
THROTTLE_PAUSE = timedelta(seconds=60)  # Intuit's rule if a 429 names no time
MAX_THROTTLE_PAUSE = timedelta(seconds=300)
MAX_QUESTIONS_REST = timedelta(minutes=15)  # a month's reads may be used up for days


@dataclass(frozen=True)
class Again:
    """It is retried automatically."""

    after: timedelta


@dataclass(frozen=True)
class GiveUp:
    """A person must look at it."""


def after_own_fault(attempts: int, since_first: timedelta, chance: float) -> Again | GiveUp:
    """What follows the `attempts`-th failure. `chance` in [0, 1) spreads retries (full jitter)."""
    if since_first >= MAX_RETRY_TIME and attempts >= PATIENT_ATTEMPTS:
        return GiveUp()
    ceiling = min(FIRST_DELAY * 2 ** min(attempts - 1, 20), MAX_DELAY)
    return Again(max(FIRST_DELAY / 2, ceiling * chance))


def after_outage(consecutive: int, chance: float) -> timedelta:
    """The lane's pause after `consecutive` calls in a row that found QuickBooks down."""
    ceiling = min(FIRST_DELAY * 2 ** min(consecutive - 1, 20), MAX_OUTAGE_PAUSE)
    pause: timedelta = ceiling * (0.5 + chance / 2)
    return pause


def after_throttle(told: timedelta | None, chance: float) -> timedelta:
    """The lane's pause after a 429: as QuickBooks asks (within reason), else about a minute."""
    if told is not None and timedelta(0) < told <= MAX_THROTTLE_PAUSE:
        return told
    return THROTTLE_PAUSE + timedelta(seconds=5) * chance


def after_refused_questions(consecutive: int, told: timedelta | None, chance: float) -> timedelta:
    """The pause of reads after `consecutive` throttled reads in a row: at first as after any
    throttling, then longer and longer."""
    rest: timedelta = after_throttle(told, chance) * 2 ** min(consecutive - 1, 10)
    return min(rest, MAX_QUESTIONS_REST)
