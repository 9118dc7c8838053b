"""Refunds recorded by hand of what was paid online, and until when Stripe's own were read.

Without access to the account a person records what went back. When Stripe answers again, it reports
the same money: it is recognized by these rows, and not counted a second time.
"""

import sqlalchemy as sa
from alembic import op

revision = "0054"
down_revision = "0053"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "refunds", sa.Column("by_hand", sa.Boolean(), server_default="false", nullable=False)
    )
    op.add_column("charges", sa.Column("refunds_read_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("charges", "refunds_read_at")
    op.drop_column("refunds", "by_hand")
