"""Letters that were not sent because their invoice was voided or paid before they could be."""

from alembic import op

revision = "0055"
down_revision = "0054"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE client_letters
        ADD COLUMN outdated varchar,
        ADD CONSTRAINT ck_client_letters_outdated
            CHECK (outdated IS NULL
                   OR (outdated IN ('voided', 'paid') AND failed_at IS NOT NULL))
        """
    )


def downgrade() -> None:
    op.execute("ALTER TABLE client_letters DROP COLUMN outdated")
