"""Detects that another database server took over, which may lack the last requests sent.

A promoted standby lacks the last moments before the failover unless it is synchronous; a restored
backup lacks hours. Requests sent in the lost part look as if they were never sent. So after a
change of server, every entry that it knew is looked up in QuickBooks before it is sent.
"""

import structlog
from prometheus_client import Counter
from sqlalchemy import text
from sqlalchemy.orm import Session

CHANGES = Counter(
    "dunahub_database_server_changes_total",
    "Times another database server was found in the place of the last, by a failover or a restore",
)

log = structlog.get_logger()

_DOUBT = """
    UPDATE database_server
    SET server = current_server(), changed_at = clock_timestamp(),
        last_entry_id = (SELECT coalesce(max(id), 0) FROM outbox),
        last_dispatch_id = (SELECT coalesce(max(id), 0) FROM outbox_dispatches)
"""
_NOTICE = text(_DOUBT + "WHERE server <> current_server() RETURNING server, last_entry_id")
_DOUBT_ALL = text(_DOUBT + "RETURNING last_entry_id")


def notice_change(session: Session) -> bool:
    """Whether the server has changed: then everything it knew is in doubt.

    If several processes notice at once, only one sees the change, by the row's lock.
    """
    found = session.execute(_NOTICE).one_or_none()
    if found is None:
        return False
    CHANGES.inc()
    log.error(
        "another database server took over: what waits is looked for before it is sent",
        server=found.server,
        up_to_entry=found.last_entry_id,
    )
    return True


def doubt_everything(session: Session) -> int:
    """For a rollback that cannot be detected, such as a restored disk snapshot: what waits is
    looked up before it is sent. Returns the number of the newest entry in doubt."""
    return int(session.execute(_DOUBT_ALL).scalar_one())
