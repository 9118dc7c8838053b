"""Copies the values of the last synced entry to each counterpart.

The document rendered then is unknown, so every existing counterpart is read once before it is
written. Separate from 0028, whose locks would block the app for as long as this takes.
"""

from alembic import op

revision = "0028b"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        UPDATE outbox_links AS link
        SET sent_operation = sent.operation, sent_values = sent.payload,
            stale = link.stale OR link.aggregate_type <> 'product'
        FROM (
            SELECT DISTINCT ON (entry.lane_id, entry.aggregate_type, entry.aggregate_id)
                   entry.lane_id, entry.aggregate_type, entry.aggregate_id,
                   entry.operation, entry.payload
            FROM outbox AS entry
            WHERE entry.state = 'synced'
            ORDER BY entry.lane_id, entry.aggregate_type, entry.aggregate_id, entry.id DESC
        ) AS sent
        WHERE sent.lane_id = link.lane_id AND sent.aggregate_type = link.aggregate_type
          AND sent.aggregate_id = link.aggregate_id
        """
    )
    # What can still be paid on each invoice in QuickBooks: its total minus the payments there.
    op.execute(
        """
        UPDATE outbox_links AS link
        SET remote_balance = greatest(link.remote_total::numeric - coalesce((
            SELECT sum(payment.amount) FROM payments AS payment
            JOIN outbox_links AS paid ON paid.lane_id = link.lane_id
             AND paid.aggregate_type = 'payment' AND paid.aggregate_id = payment.id
            WHERE payment.invoice_id = link.aggregate_id), 0), 0)::text
        WHERE link.aggregate_type = 'invoice' AND link.remote_total IS NOT NULL
        """
    )


def downgrade() -> None:
    pass  # 0028 removes the columns
