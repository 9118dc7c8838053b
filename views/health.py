"""Endpoints for monitoring: alive, ready, metrics. They show no customer data."""

import os
import secrets
import time
from collections.abc import Iterator
from functools import cache
from ipaddress import ip_address
from pathlib import Path

import structlog
from alembic.script import ScriptDirectory
from flask import Blueprint, Response, abort, jsonify, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    generate_latest,
    multiprocess,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from models.notices import Notice
from models.quickbooks import Connection
from outbox import metrics, scheduler
from web.access import dunahub, public

health = Blueprint("health", __name__)

MIGRATIONS = Path(__file__).parent.parent / "migrations"
STATEMENT_TIMEOUT = "3s"  # for the database; monitoring times out soon after
LOOK_TIMEOUT = 30.0  # seconds without a poll; the poller runs every second

log = structlog.get_logger()


@health.get("/healthz")
@public
def healthz() -> Response:
    """200 if this process can answer; 503 if it cannot recover and must be restarted.

    Doesn't depend on anything else, so that a database failure doesn't restart processes.
    """
    engine = scheduler.current()
    if engine is not None and engine.cannot_heal:
        return _json({"status": "stuck"}, 503)
    return _json({"status": "ok"}, 200)


@health.get("/readyz")
@public
def readyz() -> Response:
    """Whether this process can work. Details only for those allowed to see metrics."""
    problems: list[str] = []
    answer: dict[str, object] = {}
    try:
        with dunahub().sessions() as session:
            session.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'"))
            answer["database"] = _takes_writes(session, problems)
            answer["migrations"] = _migrations(session, problems)
            answer["waiting"], oldest = metrics.waiting(session)
            answer["oldest_due_seconds"] = round(oldest, 1)
    except SQLAlchemyError as problem:
        log.error("not ready: the database does not answer", problem=type(problem).__name__)
        answer.setdefault("database", "unavailable")
        problems.append("The database does not answer.")
    answer["last_look_seconds"] = _last_look(problems)
    answer["drainers"] = _drainers(problems)
    answer["problems"] = problems
    told = answer if _may_see_figures() else {}
    return _json({"status": "not ready" if problems else "ready", **told}, 503 if problems else 200)


# A new one-page file, removed with the transaction: a full disk refuses this first.
_TRY_TO_WRITE = text(
    "CREATE TEMPORARY TABLE dunahub_write_test ON COMMIT DROP AS SELECT repeat('x', 4000) AS page"
)


def _takes_writes(session: Session, problems: list[str]) -> str:
    """A full disk or a standby can still read, but not write."""
    try:
        with session.begin_nested():
            session.execute(_TRY_TO_WRITE)
    except SQLAlchemyError as problem:
        cause = type(getattr(problem, "orig", problem)).__name__
        log.error("not ready: the database takes no writes", problem=cause)
        problems.append(f"The database takes no writes ({cause}).")
        return "takes no writes"
    return "ok"


def _migrations(session: Session, problems: list[str]) -> str:
    """Migrations behind this release: not ready. Ahead: ready, because the next release migrates
    while this one still serves."""
    if not session.scalar(text("SELECT to_regclass('alembic_version')")):
        problems.append("The database has no schema yet: run alembic upgrade head.")
        return "none"
    at = session.scalar(text("SELECT version_num FROM alembic_version"))
    if at == _known()[0] or at not in _known():
        return "at head" if at == _known()[0] else "ahead of this release"
    problems.append("The database is behind this release: run alembic upgrade head.")
    return "behind"


@cache
def _known() -> tuple[str, ...]:
    """Schema versions of this release, newest first."""
    return tuple(one.revision for one in ScriptDirectory(str(MIGRATIONS)).walk_revisions())


def _last_look(problems: list[str]) -> float | None:
    """None where pages are served but nothing is drained, as in a shell."""
    engine = scheduler.current()
    if engine is None:
        return None
    if engine.seconds_since_look > LOOK_TIMEOUT:
        problems.append("The poller has not looked for work for a while.")
    return round(engine.seconds_since_look, 1)


def _drainers(problems: list[str]) -> int | None:
    """Number of drainer threads. One that died is replaced within seconds."""
    engine = scheduler.current()
    if engine is None:
        return None
    if not engine.drainers_alive:
        problems.append("No drainer is alive.")
    return engine.drainers_alive


def _json(answer: dict[str, object], status: int) -> Response:
    response = jsonify(answer)
    response.status_code = status
    return response


# --- Figures --------------------------------------------------------------------------------------


@health.get("/metrics")
@public
def figures() -> Response:
    """Metrics for Prometheus: with the token, or without one from this machine."""
    if not _may_see_figures():
        abort(404)
    text_ = generate_latest(_counters()) + generate_latest(_gauges())
    return Response(text_, content_type=CONTENT_TYPE_LATEST)


def _may_see_figures() -> bool:
    token = dunahub().config.metrics_token
    if token:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return secrets.compare_digest(given.encode(), token.encode())
    # A request through a proxy on this machine doesn't come from this machine.
    came_through = {"X-Forwarded-For", "X-Real-Ip", "Forwarded"} & set(request.headers.keys())
    try:
        return not came_through and ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False  # a Unix socket: the client is a proxy


def _counters() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def _gauges() -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_FromDatabase())
    return registry


class _FromDatabase(Collector):
    """Computed at each scrape. If the database is down, the process's
    own counters are still shown."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        began = time.monotonic()
        up = GaugeMetricFamily("dunahub_database_up", "Whether the database answered this scrape")
        try:
            with dunahub().sessions() as session:
                session.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'"))
                found = [*metrics.gauges(session), *_standing(session)]
        except SQLAlchemyError as problem:
            log.error("no figures: the database does not answer", problem=type(problem).__name__)
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from found
        yield GaugeMetricFamily(
            "dunahub_scrape_seconds", "What reading these figures took", time.monotonic() - began
        )


def _standing(session: Session) -> Iterator[GaugeMetricFamily]:
    connections = GaugeMetricFamily(
        "dunahub_quickbooks_connections", "Connections, by status", labels=["status"]
    )
    counts = select(Connection.status, func.count()).group_by(Connection.status)
    for status, count in session.execute(counts):
        connections.add_metric([status], count)
    yield connections
    notices = GaugeMetricFamily(
        "dunahub_notices_lasting", "Conditions that last, by kind", labels=["kind"]
    )
    lasting = select(Notice.kind, func.count()).where(Notice.lasts).group_by(Notice.kind)
    for kind, count in session.execute(lasting):
        notices.add_metric([kind], count)
    yield notices
    untold = select(func.count()).where(Notice.lasts, Notice.told_at.is_(None), Notice.attempts > 0)
    yield GaugeMetricFamily(
        "dunahub_notices_untold", "E-mails that could not be sent yet", session.scalar(untold) or 0
    )
