"""When a link to sign up was used, so that it works once."""

from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE sign_ups ADD COLUMN used_at timestamptz")


def downgrade() -> None:
    op.execute("ALTER TABLE sign_ups DROP COLUMN used_at")
