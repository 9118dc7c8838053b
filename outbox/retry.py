"""When an entry that failed by its own fault goes again. Pure, to be read as a table."""

from dataclasses import dataclass
from datetime import timedelta

FIRST_DELAY = timedelta(seconds=2)
LONGEST_DELAY = timedelta(hours=1)
PATIENCE = timedelta(days=3)  # of the entry's own transient faults …
PATIENT_ATTEMPTS = 24  # … of which there were this many: days of an outage or a hold never count
LONGEST_OUTAGE_PAUSE = timedelta(minutes=1)  # between two probes of a company that is down
THROTTLE_PAUSE = timedelta(seconds=60)  # Intuit's rule when a 429 names no time
LONGEST_THROTTLE_PAUSE = timedelta(seconds=300)
LONGEST_QUESTIONS_REST = timedelta(minutes=15)  # a month's questions may be used up for days


@dataclass(frozen=True)
class Again:
    """It is tried again by itself."""

    after: timedelta


@dataclass(frozen=True)
class GiveUp:
    """A person must look at it."""


def after_own_fault(attempts: int, since_first: timedelta, chance: float) -> Again | GiveUp:
    """What follows the `attempts`-th failure. `chance` in [0, 1) spreads retries (full jitter)."""
    if since_first >= PATIENCE and attempts >= PATIENT_ATTEMPTS:
        return GiveUp()
    ceiling = min(FIRST_DELAY * 2 ** min(attempts - 1, 20), LONGEST_DELAY)
    return Again(max(FIRST_DELAY / 2, ceiling * chance))


def after_outage(consecutive: int, chance: float) -> timedelta:
    """How long a lane rests after its `consecutive`-th call in a row that found QuickBooks down."""
    ceiling = min(FIRST_DELAY * 2 ** min(consecutive - 1, 20), LONGEST_OUTAGE_PAUSE)
    pause: timedelta = ceiling * (0.5 + chance / 2)
    return pause


def after_throttle(told: timedelta | None, chance: float) -> timedelta:
    """How long a lane rests after a 429: as told (within reason), else a minute and a little."""
    if told is not None and timedelta(0) < told <= LONGEST_THROTTLE_PAUSE:
        return told
    return THROTTLE_PAUSE + timedelta(seconds=5) * chance


def after_refused_questions(consecutive: int, told: timedelta | None, chance: float) -> timedelta:
    """How long a lane asks nothing after its `consecutive`-th question in a row that was refused as
    too much: at first as after any throttle, then ever more seldom."""
    rest: timedelta = after_throttle(told, chance) * 2 ** min(consecutive - 1, 10)
    return min(rest, LONGEST_QUESTIONS_REST)
