"""Commands: `flask --app app outbox …`."""

import signal
import threading
from typing import cast

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy import text

from config import Config
from db import Sessions
from models.accounts import AuditEvent
from outbox import actions, scheduler, servers
from outbox.company import Company
from outbox.looks import due_lanes
from outbox.poller import drain_lane

group = AppGroup("outbox", help="The outbox that feeds QuickBooks.")

_STATUS = text(
    """
    SELECT organization.name, lane.state,
           coalesce(lane.hold_reason, CASE WHEN lane.pause_until > clock_timestamp()
                                           THEN lane.pause_reason END, '') AS why,
           waiting.count AS waiting, waiting.oldest, failed.count AS failed
    FROM outbox_lanes AS lane
    JOIN organizations AS organization ON organization.id = lane.organization_id
    CROSS JOIN LATERAL (
        SELECT count(*) AS count, date_trunc('second', now() - min(created_at)) AS oldest
        FROM outbox WHERE organization_id = lane.organization_id AND lane_id = lane.id
          AND state = 'pending') AS waiting
    CROSS JOIN LATERAL (
        SELECT count(*) AS count FROM outbox
        WHERE organization_id = lane.organization_id AND lane_id = lane.id
          AND state = 'failed') AS failed
    WHERE waiting.count > 0 OR failed.count > 0 OR lane.state = 'held'
    ORDER BY waiting.oldest DESC NULLS LAST, lane.id
    """
)


@group.command("status")
def status() -> None:
    """Print what waits and what needs attention, oldest first."""
    with _sessions()() as session:
        rows = session.execute(_STATUS).all()
    if not rows:
        click.echo("Nothing waits and nothing needs attention.")
        return
    click.echo(f"{'waiting':>8} {'oldest':>16} {'failed':>7}  lane             organization")
    for row in rows:
        lane = f"{row.state} {row.why}".strip()
        oldest = "" if row.oldest is None else str(row.oldest)
        click.echo(f"{row.waiting:>8} {oldest:>16} {row.failed:>7}  {lane:<16} {row.name}")


@group.command("drain")
def drain() -> None:
    """Send what is due now, then stop. Safe next to serving processes, because of leases."""
    sent_lanes: set[int] = set()
    stopping = threading.Event()
    while True:
        with _sessions()() as session:
            due = due_lanes(session)
        if not due:
            break
        for lane_id in due:
            drain_lane(_sessions(), _company(), lane_id, _config(), stopping)
            sent_lanes.add(lane_id)
    click.echo(f"Drained {len(sent_lanes)} lanes. `outbox status` tells what is left.")


@group.command("requeue")
@click.argument("entries", nargs=-1, type=int, required=True, metavar="NUMBER…")
@click.option("--reason", required=True, help="Why; the organization's owner can read it.")
def requeue(entries: tuple[int, ...], reason: str) -> None:
    """Send entries again, by number. Creates no duplicates in QuickBooks."""
    with _sessions().begin() as session:
        acted = actions.requeue(session, entries, organization_id=None, overwrites=False)
        by_organization = session.execute(
            text(
                "SELECT organization_id, array_agg(id ORDER BY id) AS ids FROM outbox"
                " WHERE id = ANY(:entries) GROUP BY organization_id"
            ),
            {"entries": list(acted.done)},
        )
        for row in by_organization:
            session.add(
                AuditEvent(
                    organization_id=row.organization_id,
                    action="outbox.requeued",
                    reason=reason,
                    details={"entries": row.ids, "by": "command line"},
                )
            )
    click.echo(f"{len(acted.done)} will be sent again.")
    for entry_id, why in sorted(acted.refused.items()):
        click.echo(f"#{entry_id} refused: {why}", err=True)
    if acted.refused:
        raise SystemExit(1)


@group.command("after-restore")
def after_restore() -> None:
    """After restoring the database to an earlier state: look up waiting entries before sending
    them.

    A promoted standby and a backup restored to another server are detected automatically. A disk
    snapshot restored under the same server is not.
    """
    with _sessions().begin() as session:
        newest = servers.doubt_everything(session)
    click.echo(f"Entries up to #{newest} are looked for in QuickBooks before they are sent.")


@group.command("work")
def work() -> None:
    """Drain in a separate process, without serving pages, until TERM or Ctrl-C."""
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    current_app.extensions["dunahub"].start_engine()
    click.echo("Draining. Stop with Ctrl-C.")
    while not done.wait(60):  # an endless wait would block signals on some platforms
        pass
    if not scheduler.stop():
        click.echo("A call to QuickBooks was still out; it is cleared up at the next start.")


def _sessions() -> Sessions:
    return cast(Sessions, current_app.extensions["dunahub"].sessions)


def _company() -> Company:
    return cast(Company, current_app.extensions["dunahub"].company)


def _config() -> Config:
    return cast(Config, current_app.extensions["dunahub"].config)
