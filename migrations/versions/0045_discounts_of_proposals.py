"""A discount on a proposal, which its invoice starts with.

The previous release goes on reading and writing proposals; it knows no discount, so a proposal
that has one should be edited once no process of it is left.
"""

from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE proposals
            ADD COLUMN discount_kind varchar NOT NULL DEFAULT 'percent',
            ADD COLUMN discount_value numeric(14, 4) NOT NULL DEFAULT '0',
            ADD CONSTRAINT ck_proposals_discount_kind
                CHECK (discount_kind IN ('percent', 'amount')) NOT VALID,
            ADD CONSTRAINT ck_proposals_discount_value
                CHECK (discount_value >= 0 AND (discount_kind = 'amount' OR discount_value <= 100))
                NOT VALID
        """
    )
    for constraint in ("ck_proposals_discount_kind", "ck_proposals_discount_value"):
        op.execute(f"ALTER TABLE proposals VALIDATE CONSTRAINT {constraint}")


def downgrade() -> None:
    op.execute("ALTER TABLE proposals DROP COLUMN discount_kind, DROP COLUMN discount_value")
