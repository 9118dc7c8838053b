"""How often in a row an item's repeat ended in a crash: what kills its reader is set apart."""

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
