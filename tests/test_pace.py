"""The rate limits kept in the lane row, and the retry policy, as tables."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.pace import Pace
from outbox.retry import (
    FIRST_DELAY,
    LONGEST_DELAY,
    LONGEST_OUTAGE_PAUSE,
    PATIENCE,
    PATIENT_ATTEMPTS,
    THROTTLE_PAUSE,
    Again,
    GiveUp,
    after_outage,
    after_own_fault,
    after_throttle,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@given(
    per_minute=st.integers(5, 600),
    burst=st.integers(1, 20),
    thinking=st.lists(st.floats(0, 5), min_size=50, max_size=400),
)
def test_no_minute_sees_more_calls_than_the_limit(
    per_minute: int, burst: int, thinking: list[float]
) -> None:
    pace = Pace(MINUTE / per_minute, burst)
    now, next_at, calls = NOON, None, []
    for seconds in thinking:
        now += pace.wait(next_at, now)
        calls.append(now)
        next_at = pace.after_call(next_at, now)
        now += timedelta(seconds=seconds)
    for first in calls:
        window = [call for call in calls if first <= call < first + MINUTE]
        assert len(window) <= per_minute + burst


def test_a_first_call_and_a_burst_go_at_once() -> None:
    pace = Pace(timedelta(seconds=1), burst=3)
    next_at = None
    for _ in range(3):
        assert pace.wait(next_at, NOON) == timedelta(0)
        next_at = pace.after_call(next_at, NOON)
    assert pace.wait(next_at, NOON) == timedelta(seconds=1)


@pytest.mark.parametrize(
    ("attempts", "since", "chance", "decision"),
    [
        (1, 0, 0.0, Again(FIRST_DELAY / 2)),
        (1, 0, 0.99, Again(FIRST_DELAY * 0.99)),
        (4, 60, 0.5, Again(FIRST_DELAY * 4)),
        (40, 3600, 0.5, Again(LONGEST_DELAY / 2)),
        (PATIENT_ATTEMPTS - 1, PATIENCE.total_seconds(), 0.0, Again(FIRST_DELAY / 2)),
        (PATIENT_ATTEMPTS, PATIENCE.total_seconds() - 1, 0.0, Again(FIRST_DELAY / 2)),
        (PATIENT_ATTEMPTS, PATIENCE.total_seconds(), 0.5, GiveUp()),
    ],
)
def test_an_entrys_own_faults(
    attempts: int, since: float, chance: float, decision: Again | GiveUp
) -> None:
    assert after_own_fault(attempts, timedelta(seconds=since), chance) == decision


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_an_outage_is_probed_at_least_every_minute(consecutive: int, chance: float) -> None:
    assert timedelta(seconds=1) <= after_outage(consecutive, chance) <= LONGEST_OUTAGE_PAUSE


@pytest.mark.parametrize(
    ("told", "pause"),
    [
        (None, THROTTLE_PAUSE),
        (7, timedelta(seconds=7)),
        (0, THROTTLE_PAUSE),
        (9999, THROTTLE_PAUSE),
    ],
)
def test_a_throttle_is_obeyed_within_reason(told: int | None, pause: timedelta) -> None:
    named = None if told is None else timedelta(seconds=told)
    assert after_throttle(named, 0.0) == pause
