"""How much a company's calls are slowed down after throttling, and since when."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE outbox_lanes"
        " ADD COLUMN slowdown double precision NOT NULL DEFAULT '1',"
        " ADD COLUMN slowed_at timestamptz"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE outbox_lanes DROP COLUMN slowdown, DROP COLUMN slowed_at")
