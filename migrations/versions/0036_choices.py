"""What an owner chooses for leads before records go to a company."""

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE quickbooks_unconfirmed ADD COLUMN choices jsonb NOT NULL DEFAULT '{}'::jsonb"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE quickbooks_unconfirmed DROP COLUMN choices")
