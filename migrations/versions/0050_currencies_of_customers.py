"""The copy of a company's customers has their currency, because documents are in dollars.

A company with several currencies is read whole once more; until then its currencies are unknown.
"""

from alembic import op

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE quickbooks_customers ADD COLUMN currency varchar NOT NULL DEFAULT ''")
    op.execute(
        """
        UPDATE quickbooks_connections SET customers_read_at = customers_read_at - interval '30 days'
        WHERE facts -> 'preferences' -> 'multicurrency' = 'true'
        """
    )


def downgrade() -> None:
    op.execute("ALTER TABLE quickbooks_customers DROP COLUMN currency")
