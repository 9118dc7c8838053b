"""What each unanswered item may have changed, so that nothing else changes it meanwhile; and the
requests that are sent again after they were looked for and not found.

Items of the previous release have none, and block nothing, as before.
"""

from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE outbox_dispatch_items ADD COLUMN claims text[] NOT NULL DEFAULT '{}'::text[]"
    )
    op.execute("ALTER TABLE outbox_dispatches ADD COLUMN goes_again boolean NOT NULL DEFAULT false")


def downgrade() -> None:
    op.execute("ALTER TABLE outbox_dispatches DROP COLUMN goes_again")
    op.execute("ALTER TABLE outbox_dispatch_items DROP COLUMN claims")
