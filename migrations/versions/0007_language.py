"""A language per person; existing people keep English."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE users ADD COLUMN language varchar NOT NULL DEFAULT 'en',"
        " ADD CONSTRAINT ck_users_language CHECK (language IN ('en', 'pt_BR'))"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE users DROP COLUMN language")
