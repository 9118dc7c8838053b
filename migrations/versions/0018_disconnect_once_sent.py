"""A requested disconnect that waits until everything is sent."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE quickbooks_connections"
        " ADD COLUMN disconnects_after bigint,"
        " ADD COLUMN disconnects_by_id bigint"
        " CONSTRAINT fk_quickbooks_connections_disconnects_by_id REFERENCES users"
    )


def downgrade() -> None:
    op.execute(
        "ALTER TABLE quickbooks_connections"
        " DROP COLUMN disconnects_after, DROP COLUMN disconnects_by_id"
    )
