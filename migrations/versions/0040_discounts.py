"""A discount on an invoice.

The previous release goes on reading and writing invoices; it knows no discount, so an invoice that
has one should be edited once no process of it is left.
"""

from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE invoices
            ADD COLUMN discount_kind varchar NOT NULL DEFAULT 'percent',
            ADD COLUMN discount_value numeric(14, 4) NOT NULL DEFAULT '0',
            ADD COLUMN discount_amount numeric(14, 2) NOT NULL DEFAULT '0',
            ADD CONSTRAINT ck_invoices_discount_kind
                CHECK (discount_kind IN ('percent', 'amount')) NOT VALID,
            ADD CONSTRAINT ck_invoices_discount_value
                CHECK (discount_value >= 0 AND (discount_kind = 'amount' OR discount_value <= 100))
                NOT VALID
        """
    )


def downgrade() -> None:
    op.execute(
        "ALTER TABLE invoices DROP COLUMN discount_kind, DROP COLUMN discount_value,"
        " DROP COLUMN discount_amount"
    )
