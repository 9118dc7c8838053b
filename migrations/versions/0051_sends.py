"""Corrects how often requests were sent that were looked up because their records were declined.

Their number was set to a hundred, so that they were not sent again; how often they were sent is not
known. The previous release reads it of those without an outcome, so these keep it.
"""

from alembic import op

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        UPDATE outbox_dispatches AS dispatch SET sends = 1
        WHERE sends >= 100
          AND NOT EXISTS (SELECT FROM outbox_dispatch_items AS item
                          WHERE item.dispatch_id = dispatch.id AND item.outcome IS NULL)
        """
    )


def downgrade() -> None:
    pass  # one is nearer to the truth
