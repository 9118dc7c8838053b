"""Counters of the engine, for /metrics. No customer's data in any label."""

from prometheus_client import Counter

OUTCOMES = Counter("dunahub_outbox_outcomes_total", "What dispatched entries came to", ["outcome"])
LATE_RESULTS = Counter(
    "dunahub_outbox_late_results_total",
    "Answers that came after the lease was lost, and were ignored",
)
DISPATCHES = Counter("dunahub_outbox_dispatches_total", "Requests sent to QuickBooks")
