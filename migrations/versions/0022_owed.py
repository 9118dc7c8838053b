"""An index of unpaid invoices by due date."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX ix_invoices_owed ON invoices (organization_id, due_on)"
        " WHERE voided_at IS NULL AND total > paid_amount"
    )


def downgrade() -> None:
    op.execute("DROP INDEX ix_invoices_owed")
