"""Metrics of the engine, for /metrics. No label names a firm, a person or a record.

Two kinds: counters, kept by each process (and added up through PROMETHEUS_MULTIPROC_DIR), and
gauges, read from the database at each scrape, so that every process reports the same.
"""

from collections.abc import Iterator
from typing import NamedTuple

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from outbox.company import Answer, Problem

OUTCOMES = Counter("dunahub_outbox_outcomes_total", "What dispatched entries came to", ["outcome"])
LATE_RESULTS = Counter(
    "dunahub_outbox_late_results_total",
    "Answers that came after the lease was lost, and were ignored",
)
DISPATCHES = Counter("dunahub_outbox_dispatches_total", "Requests sent to QuickBooks")
ANSWERS = Counter("dunahub_outbox_answers_total", "What came back for a request", ["class"])
DELAYS = Histogram(
    "dunahub_outbox_delay_seconds",
    "From saving a record to having it in QuickBooks",
    buckets=(0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 24 * 3600, 3 * 24 * 3600),
)
DRAINERS_REPLACED = Counter(
    "dunahub_outbox_drainers_replaced_total",
    "Drainer threads that died and were replaced: must stay 0",
)
LAST_LOOK = Gauge(
    "dunahub_outbox_last_look_timestamp_seconds",
    "When the poller last looked for due work: of several processes, the one that looked longest"
    " ago",
    multiprocess_mode="livemin",
)


def class_of(answer: Answer) -> str:
    """The kind of answer, as one of a dozen values, because every label value costs a series."""
    match answer:
        case Answer(problem=Problem() as problem):
            return problem.value
        case Answer(status=200):
            return "ok"
        case Answer(status=401 | 403):
            return "unauthorized"
        case Answer(status=429):
            return "throttled"
        case Answer(status=int(status)) if status >= 500:
            return "unavailable"
        case _:
            return "refused"


# --- From the database ----------------------------------------------------------------------------


class Waiting(NamedTuple):
    """What waits in lanes that drain."""

    entries: int
    oldest_seconds: float  # of those due now; 0 if nothing is due


_WAITING = text(
    """
    SELECT count(*) AS entries,
           coalesce(extract(epoch FROM clock_timestamp() - min(entry.available_at) FILTER (
               WHERE entry.waits_for_type IS NULL AND NOT entry.withheld
           )), 0) AS oldest
    FROM outbox AS entry JOIN outbox_lanes AS lane ON lane.id = entry.lane_id
    WHERE entry.state = 'pending' AND lane.state = 'open'
      AND (lane.pause_until IS NULL OR lane.pause_until <= clock_timestamp())
    """
)

_ENTRIES = text(
    """
    SELECT count(*) FILTER (WHERE entry.state = 'failed') AS failed,
           count(*) FILTER (WHERE lane.state = 'open' AND entry.state = 'pending') AS open,
           count(*) FILTER (WHERE lane.state = 'held' AND entry.state = 'pending') AS held,
           count(*) FILTER (WHERE lane.state = 'closed' AND entry.state = 'pending') AS closed
    FROM outbox AS entry JOIN outbox_lanes AS lane ON lane.id = entry.lane_id
    WHERE entry.state IN ('pending', 'failed')
    """
)

_LANES = text(
    """
    SELECT count(*) FILTER (WHERE state = 'open') AS open,
           count(*) FILTER (WHERE state = 'held') AS held,
           count(*) FILTER (WHERE state = 'closed') AS closed,
           count(*) FILTER (WHERE lease_until > clock_timestamp()) AS draining,
           count(*) FILTER (WHERE outage_since IS NOT NULL AND state = 'open') AS in_outage,
           coalesce(extract(epoch FROM clock_timestamp() - min(outage_since)
                    FILTER (WHERE state = 'open')), 0) AS longest_outage,
           coalesce(extract(epoch FROM max(next_call_at) - clock_timestamp()), 0) AS calls_ahead
    FROM outbox_lanes
    """
)

_PAUSES = text(
    """
    SELECT pause_reason AS reason, count(*) AS lanes FROM outbox_lanes
    WHERE pause_until > clock_timestamp() GROUP BY pause_reason
    """
)


def waiting(session: Session) -> Waiting:
    """What waits, and for how long the oldest could have been sent."""
    row = session.execute(_WAITING).one()
    return Waiting(row.entries, max(0.0, float(row.oldest)))


def gauges(session: Session) -> Iterator[GaugeMetricFamily]:
    """The current state of the outbox."""
    entries, lanes = session.execute(_ENTRIES).one(), session.execute(_LANES).one()
    states = ("open", "held", "closed")
    yield _labelled(
        "dunahub_outbox_waiting_entries", "Entries not sent, by state of their lane",
        "lane", {state: _of(entries, state) for state in states},
    )  # fmt: skip
    yield GaugeMetricFamily(
        "dunahub_outbox_failed_entries", "Entries that wait for a person", entries.failed
    )
    yield GaugeMetricFamily(
        "dunahub_outbox_oldest_due_seconds",
        "How long the oldest entry could have gone, in lanes that drain",
        waiting(session).oldest_seconds,
    )
    yield _labelled(
        "dunahub_outbox_lanes", "Lanes (connected companies), by state",
        "state", {state: _of(lanes, state) for state in states},
    )  # fmt: skip
    yield _labelled(
        "dunahub_outbox_lanes_paused", "Lanes that rest, by reason",
        "reason", {row.reason: row.lanes for row in session.execute(_PAUSES)},
    )  # fmt: skip
    yield GaugeMetricFamily("dunahub_outbox_lanes_draining", "Lanes leased now", lanes.draining)
    yield GaugeMetricFamily(
        "dunahub_outbox_longest_outage_seconds",
        "How long the company that is down longest has been down",
        float(lanes.longest_outage),
    )
    yield GaugeMetricFamily(
        "dunahub_outbox_calls_ahead_seconds",
        "How far ahead the busiest company's rate budget is spent; it rests near its burst",
        max(0.0, float(lanes.calls_ahead)),
    )


def _labelled(name: str, help_: str, label: str, values: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family


def _of(row: Row[tuple[int, ...]], name: str) -> int:
    return int(row._mapping[name])
