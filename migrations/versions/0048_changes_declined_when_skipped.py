"""Skipping a change that was also made in QuickBooks declines it: its fault says so now."""

from alembic import op

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        UPDATE outbox SET fault_about = fault_about || '{"declines_when_skipped": true}'
        WHERE state = 'failed' AND fault_code = 'edited_there'
        """
    )


def downgrade() -> None:
    op.execute(
        """
        UPDATE outbox SET fault_about = fault_about - 'declines_when_skipped'
        WHERE state = 'failed' AND fault_code = 'edited_there'
        """
    )
