"""The rate limits kept in the lane row, and the retry policy, as tables."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outbox.pace import MAX_SLOWDOWN, Pace, learned_slowdown, slowdown_left
from outbox.poller import MAX_SEND_DELAY
from outbox.retry import (
    FIRST_DELAY,
    MAX_DELAY,
    MAX_OUTAGE_PAUSE,
    MAX_RETRY_TIME,
    PATIENT_ATTEMPTS,
    THROTTLE_PAUSE,
    Again,
    GiveUp,
    after_outage,
    after_own_fault,
    after_throttle,
)
from quickbooks.delivery import LIMITS, LIMITS_BY_ITEM

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


@settings(suppress_health_check=[HealthCheck.too_slow])  # long lists, busy machine
@given(
    thinking=st.lists(st.floats(0, 3), min_size=60, max_size=200),
    late=st.lists(st.floats(0, MAX_SEND_DELAY.total_seconds()), min_size=200, max_size=200),
    items=st.lists(st.integers(2, 30), min_size=200, max_size=200),
)
def test_quickbooks_limits_are_kept_however_late_a_call_goes_out(
    thinking: list[float], late: list[float], items: list[int]
) -> None:
    """A call may arrive so much after it was reckoned with; then the next ones come too soon."""
    for limits in (LIMITS, LIMITS_BY_ITEM):
        now, next_at, arrivals = NOON, None, []
        for seconds, delay, count in zip(thinking, late, items, strict=False):
            weight = limits.weight(count, is_batch=True)
            now += limits.batches.wait(next_at, now, weight)
            arrivals.append((now + timedelta(seconds=delay), count))
            next_at = limits.batches.after_call(next_at, now, weight)
            now += timedelta(seconds=seconds)
        for first, _ in arrivals:
            window = [count for at, count in arrivals if first <= at < first + MINUTE]
            assert len(window) <= 40
            assert sum(window) <= (500 if limits.counts_items else 1200)


def test_a_busy_lane_sends_at_least_95_of_100_batches_that_quickbooks_admits() -> None:
    assert MINUTE / LIMITS.batches.interval >= 0.95 * 40


@pytest.mark.parametrize(
    ("admitted", "slower", "batches"),
    [
        (16, 2.452, 16),  # the items of a batch were counted: 480 in a minute
        (0, MAX_SLOWDOWN, 10),
        (38, 1.1, 35),  # nearly all of them were taken: somebody else called as well
    ],
)
def test_a_refusal_teaches_how_many_a_company_admits(
    admitted: int, slower: float, batches: int
) -> None:
    learned = learned_slowdown(LIMITS.batches, admitted)
    assert learned == pytest.approx(slower, rel=0.01)
    slowed = LIMITS.slowed(learned).batches
    assert slowed.burst + int(MINUTE / slowed.interval) == batches


@pytest.mark.parametrize(
    ("minutes", "left"), [(0, 3), (5, 3), (10, 2), (12.5, 1.5), (15, 1), (9999, 1)]
)
def test_what_was_learned_is_forgotten_little_by_little(minutes: float, left: float) -> None:
    assert slowdown_left(3, timedelta(minutes=minutes)) == left
    assert slowdown_left(1, None) == 1


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
        (40, 3600, 0.5, Again(MAX_DELAY / 2)),
        (PATIENT_ATTEMPTS - 1, MAX_RETRY_TIME.total_seconds(), 0.0, Again(FIRST_DELAY / 2)),
        (PATIENT_ATTEMPTS, MAX_RETRY_TIME.total_seconds() - 1, 0.0, Again(FIRST_DELAY / 2)),
        (PATIENT_ATTEMPTS, MAX_RETRY_TIME.total_seconds(), 0.5, GiveUp()),
    ],
)
def test_an_entrys_own_faults(
    attempts: int, since: float, chance: float, decision: Again | GiveUp
) -> None:
    assert after_own_fault(attempts, timedelta(seconds=since), chance) == decision


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_an_outage_is_probed_at_least_every_minute(consecutive: int, chance: float) -> None:
    assert timedelta(seconds=1) <= after_outage(consecutive, chance) <= MAX_OUTAGE_PAUSE


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
