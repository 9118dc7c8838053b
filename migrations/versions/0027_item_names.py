"""Another name for a product in QuickBooks, if its own is taken by a category."""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE products ADD COLUMN quickbooks_name varchar")


def downgrade() -> None:
    op.execute("ALTER TABLE products DROP COLUMN quickbooks_name")
