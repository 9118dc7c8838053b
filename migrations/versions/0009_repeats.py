"""How often repeating an item crashed the process, so that such an item is set aside."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE outbox_dispatch_items"
        " ADD COLUMN repeats_unsettled smallint NOT NULL DEFAULT '0'"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE outbox_dispatch_items DROP COLUMN repeats_unsettled")
