"""Compare every connected month once: an earlier release could make a document twice.

Each month of each connected company with a document that was sent is put in the queue of
comparisons. They run one after another; copies with one mark are listed first.
"""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

ASK = """
    INSERT INTO quickbooks_comparisons (organization_id, month, asked_at)
    SELECT DISTINCT connection.organization_id, date_trunc('month', sent.day)::date,
           now()  -- one time for all: with several DISTINCT would keep each document's row
    FROM quickbooks_connections AS connection
    JOIN organizations AS organization
      ON organization.id = connection.organization_id AND organization.region = 'US'
    JOIN outbox_links AS link ON link.lane_id = connection.lane_id AND link.remote_id IS NOT NULL
    CROSS JOIN LATERAL (
        SELECT issued_on AS day FROM invoices
        WHERE link.aggregate_type = 'invoice' AND id = link.aggregate_id
        UNION ALL
        SELECT received_on FROM payments
        WHERE link.aggregate_type = 'payment' AND id = link.aggregate_id
    ) AS sent
    WHERE connection.status = 'connected'
    ON CONFLICT (organization_id, month) DO UPDATE
    SET asked_at = excluded.asked_at, asked_by_id = NULL, available_at = clock_timestamp(),
        attempts = 0, progress = '{}', problem = NULL
    WHERE quickbooks_comparisons.asked_at IS NULL
"""


def upgrade() -> None:
    op.execute(ASK)


def downgrade() -> None:
    """What was asked for may be compared all the same."""
