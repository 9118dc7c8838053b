"""The number of QuickBooks problems that need a person, shown on top of every page."""

from flask import g
from flask_login import current_user
from sqlalchemy import text

from quickbooks import unconfirmed
from web.access import current_organization, is_visit, session

MAX_COUNTED = 99  # shown as 99+ beyond this

# Only of the connected company: entries of another one cannot be sent.
_NEEDS = text(
    """
    SELECT (SELECT count(*) FROM quickbooks_unconfirmed AS chosen
            WHERE chosen.organization_id = :organization
              AND chosen.created_at > clock_timestamp() - :lasts)
         + coalesce((
            SELECT (SELECT count(*) FROM (
                        SELECT FROM outbox
                        WHERE organization_id = :organization AND state = 'failed'
                          AND lane_id = lane.id
                        LIMIT :most
                    ) AS failed)
                 + CASE WHEN connection.status = 'expired' OR lane.state = 'held'
                        THEN 1 ELSE 0 END
                 + CASE WHEN EXISTS (
                        SELECT FROM outbox AS entry
                        WHERE entry.lane_id = lane.id AND entry.state = 'pending'
                          AND entry.withheld
                   ) THEN 1 ELSE 0 END
            FROM quickbooks_connections AS connection
            JOIN outbox_lanes AS lane ON lane.id = connection.lane_id
            WHERE connection.organization_id = :organization
              AND connection.status <> 'disconnected'
           ), 0)
    """
)


def needs_you() -> str:
    """Number of records that need attention, plus connection problems and decisions that are due.

    Short enough for the menu: 3, or 99+; empty if there are none.
    """
    if "needs_you" not in g:
        g.needs_you = _count()
    count: int = g.needs_you
    if count > MAX_COUNTED:
        return f"{MAX_COUNTED}+"
    return str(count) if count else ""


def _count() -> int:
    organization = current_organization() if current_user.is_authenticated else None
    if is_visit() or organization is None or not organization.has_quickbooks:
        return 0
    asked = {
        "organization": organization.id,
        "most": MAX_COUNTED + 1,
        "lasts": unconfirmed.KEPT_FOR,
    }
    return session().scalar(_NEEDS, asked) or 0
